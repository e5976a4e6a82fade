"""The recipe that detects events, on a saved detector with real audio."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_asit.models import ASiTBackbone, ASiTEventDetector

RECIPES = Path(__file__).parents[2] / "recipes"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(RECIPES / "detect_events.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


@pytest.mark.slow
def test_writes_a_table_labels_and_a_picture(tmp_path):
    backbone = ASiTBackbone((48, 128), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    ASiTEventDetector(backbone, 3, num_steps=10).save(tmp_path / "detector.keras")
    recording = next(iter(sorted((RECIPES / "quickstart_audio").rglob("*.ogg"))))
    outputs = [tmp_path / name for name in ("events.csv", "labels.txt", "events.png")]
    result = run(tmp_path / "detector.keras", recording, "--threshold", 0.0, "--output", *outputs)
    assert result.returncode == 0, result.stderr
    # Everything exceeds a threshold of 0: one event a class, as long as the recording.
    assert "3 events in" in result.stdout
    assert outputs[0].read_text().count("\n") == 4
    assert outputs[1].read_text().count("\n") == 3
    assert outputs[2].read_bytes().startswith(b"\x89PNG")


def test_says_in_one_line_what_is_wrong(tmp_path):
    (tmp_path / "labels.txt").write_text("dog\n")
    result = run(tmp_path / "absent.pt", tmp_path / "absent.wav", "--labels", tmp_path / "no.txt")
    assert result.returncode != 0
    assert result.stderr.strip().splitlines()[-1].startswith("detect_events.py: ")
