"""The recipe that converts between PyTorch files and presets."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch files are read by PyTorch")

RECIPE = Path(__file__).parents[2] / "recipes" / "convert_checkpoint.py"


def test_there_and_back(golden, tmp_path, run_here, complaint):
    preset, back = tmp_path / "preset", tmp_path / "back.pth"
    printed = run_here(golden / "sed_ssl.pt", preset, "--num-heads", 2)
    assert "592 frames x 128 mels at 16000 Hz" in printed
    run_here(preset, back, "--layout", "published")
    expected = torch.load(golden / "sed_ssl.pt", weights_only=True)
    exported = torch.load(back, weights_only=True)
    assert exported.keys() == expected.keys()
    assert all(torch.equal(exported[name], expected[name]) for name in expected)
    assert "not empty" in complaint(golden / "sed_ssl.pt", preset, "--num-heads", 2)


def test_says_in_one_line_what_is_wrong(tmp_path, complaint):
    printed = complaint(tmp_path / "absent.pth", tmp_path / "preset")
    assert printed.startswith("convert_checkpoint.py: There is no")
