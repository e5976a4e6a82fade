"""The recipe that detects events, on a saved detector with real audio."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from keras_asit.models import (
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
)

RECIPE = Path(__file__).parents[2] / "recipes" / "detect_events.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(RECIPE), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


@pytest.fixture
def detector(tmp_path):
    """A file of a detector of three classes."""
    backbone = ASiTBackbone((48, 128), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=48))
    detector = ASiTEventDetector(backbone, 3, preprocessor, num_steps=10)
    detector.save(tmp_path / "detector.keras")
    return tmp_path / "detector.keras"


@pytest.fixture
def recording():
    return next(iter(sorted((RECIPE.parent / "quickstart_audio").rglob("*.ogg"))))


@pytest.mark.slow
def test_writes_a_table_labels_and_a_picture(detector, recording, tmp_path):
    outputs = [tmp_path / name for name in ("events.csv", "labels.txt", "events.png")]
    result = run(detector, recording, "--threshold", 0.0, "--output", *outputs)
    assert result.returncode == 0, result.stderr
    # Everything exceeds a threshold of 0: one event a class, as long as the recording.
    assert "3 events in" in result.stdout
    assert outputs[0].read_text().count("\n") == 4
    assert outputs[1].read_text().count("\n") == 3
    assert outputs[2].read_bytes().startswith(b"\x89PNG")


def test_says_in_one_line_what_is_wrong(tmp_path, complaint):
    absent = tmp_path / "absent.pt"
    printed = complaint(absent, tmp_path / "absent.wav", "--labels", tmp_path / "no.txt")
    assert printed.startswith("detect_events.py: ")


def run_here(monkeypatch, *arguments):
    """Run the recipe in this process."""
    monkeypatch.setattr(sys, "argv", ["detect_events.py", *map(str, arguments)])
    runpy.run_path(str(RECIPE), run_name="__main__")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "events.csv", "x.json"], "must end in .csv, .txt or .png, not as x.json"),
        (["--threshold", 2], "between 0 and 1, not 2.0"),
        (["--median-steps", 4], "positive and odd, not 4"),
        (["--min-seconds", -1], "at least 0, not -1.0"),
    ],
)
def test_checks_flags_before_anything_else(flags, message, complaint):
    assert message in complaint("absent.keras", "absent.wav", *flags)


def test_labels_must_be_those_of_the_detector(
    detector, recording, tmp_path, monkeypatch, capsys, complaint
):
    labels = tmp_path / "labels.txt"
    labels.write_text("dog\ncat\n")
    printed = complaint(detector, "absent.wav", "--labels", labels)
    assert printed.startswith(f"detect_events.py: {labels} must have")
    assert "of the 3 that the detector knows. Its lines: 2" in printed
    labels.write_text("dog\ncat\ncow\n\n")
    run_here(monkeypatch, detector, recording, "--labels", labels, "--threshold", 0)
    assert "cow" in capsys.readouterr().out


def test_another_model_is_refused(tmp_path, recording, complaint):
    inputs = keras.Input((3,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "model.keras")
    printed = complaint(tmp_path / "model.keras", recording)
    assert "must hold an ASiTEventDetector. It holds: Functional" in printed
