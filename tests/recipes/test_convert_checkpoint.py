"""The recipe that converts between PyTorch files and presets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch files are read by PyTorch")

RECIPE = Path(__file__).parents[2] / "recipes" / "convert_checkpoint.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(RECIPE), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


@pytest.mark.slow
def test_there_and_back(golden, tmp_path):
    preset, back = tmp_path / "preset", tmp_path / "back.pth"
    result = run(golden / "sed_ssl.pt", preset, "--num-heads", 2)
    assert "592 frames x 128 mels at 16000 Hz" in result.stdout, result.stderr
    assert run(preset, back, "--layout", "published").returncode == 0
    expected = torch.load(golden / "sed_ssl.pt", weights_only=True)
    exported = torch.load(back, weights_only=True)
    assert exported.keys() == expected.keys()
    assert all(torch.equal(exported[name], expected[name]) for name in expected)
    again = run(golden / "sed_ssl.pt", preset, "--num-heads", 2)
    assert again.returncode != 0
    assert "not empty" in again.stderr


def test_says_in_one_line_what_is_wrong(tmp_path, complaint):
    printed = complaint(tmp_path / "absent.pth", tmp_path / "preset")
    assert printed.startswith("convert_checkpoint.py: There is no")
