"""The recipe that detects events, on a saved detector with real audio."""

import csv
import shutil
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


@pytest.fixture
def detector():
    """A detector of three classes."""
    backbone = ASiTBackbone((48, 128), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=48))
    return ASiTEventDetector(backbone, 3, preprocessor, num_steps=10)


@pytest.fixture
def file(detector, tmp_path):
    """The file of that detector."""
    detector.save(tmp_path / "detector.keras")
    return tmp_path / "detector.keras"


@pytest.fixture
def recording():
    return next(iter(sorted((RECIPE.parent / "quickstart_audio").rglob("*.ogg"))))


def test_writes_a_table_labels_and_a_picture(file, recording, tmp_path, run_here, complaint):
    outputs = [tmp_path / "new" / name for name in ("events.csv", "labels.txt", "events.png")]
    printed = run_here(file, recording, "--threshold", 0.0, "--output", *outputs)
    # Everything exceeds a threshold of 0: one event a class, as long as the recording.
    assert "3 events in" in printed
    assert outputs[0].read_text().count("\n") == 4
    assert outputs[1].read_text().count("\n") == 3
    assert outputs[2].read_bytes().startswith(b"\x89PNG")
    assert "events.csv exists already" in complaint(file, recording, "--output", *outputs)


def test_a_folder_becomes_one_table_with_the_names_of_the_detector(
    detector, tmp_path, recording, run_here, complaint, capsys
):
    detector.class_names = ["dog", "cat", "cow"]
    detector.save_to_preset(str(tmp_path / "preset"))
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("a.ogg", "b.ogg"):
        shutil.copy(recording, folder / name)
    (folder / "broken.wav").write_bytes(b"no audio")
    outputs = [tmp_path / "events.csv", tmp_path / "audacity"]
    flags = [tmp_path / "preset", folder, "--threshold", 0, "--output"]
    printed = run_here(*flags, *outputs)
    assert "6 events in 2 of 3 recordings" in printed
    assert "broken.wav cannot be decoded" in capsys.readouterr().err
    with outputs[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["a.ogg"] * 3 + ["b.ogg"] * 3
    assert {row["label"] for row in rows} == {"dog", "cat", "cow"}
    assert sorted(path.name for path in outputs[1].iterdir()) == ["a.ogg.txt", "b.ogg.txt"]
    assert not list(tmp_path.glob("*.parts"))
    assert "exists already" in complaint(*flags, *outputs)
    assert "of one recording, but there are 3" in complaint(*flags, tmp_path / "events.png")


def test_goes_on_where_it_was_interrupted_between_outputs(
    file, recording, tmp_path, run_here, monkeypatch
):
    import tables

    def interrupted(recordings, output):
        output.mkdir()
        raise KeyboardInterrupt

    outputs = [tmp_path / "new" / "events.csv", tmp_path / "new" / "audacity"]
    flags = [file, recording, recording, "--threshold", 0, "--output", *outputs]
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as exit:
        patch.setattr(tables, "write_audacity", interrupted)
        run_here(*flags)
    assert exit.value.code == 130 and outputs[1].exists()
    assert "2 of 2 recordings were done before" in run_here(*flags)
    assert [path.name for path in outputs[1].iterdir()] == [f"{recording.name}.txt"]


@pytest.mark.slow
def test_a_preset_detects_what_its_file_does(detector, file, recording, tmp_path, run_here):
    detector.save_to_preset(str(tmp_path / "preset"))
    flags = [recording, "--threshold", 0.0]
    assert run_here(tmp_path / "preset", *flags) == run_here(file, *flags)


def test_says_in_one_line_what_is_wrong(tmp_path, complaint):
    absent = tmp_path / "absent.pt"
    printed = complaint(absent, tmp_path / "absent.wav", "--labels", tmp_path / "no.txt")
    assert printed.startswith("detect_events.py: ")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--output", "events.csv", "x.xml"], "or be a folder of those, not as x.xml"),
        (["--threshold", 2], "between 0 and 1, not 2"),
        (["--median-steps", 4], "positive and odd, not 4"),
        (["--min-seconds", -1], "at least 0, not -1"),
    ],
)
def test_checks_flags_before_anything_else(flags, message, complaint):
    assert message in complaint("absent.keras", "absent.wav", *flags)


def test_labels_must_be_those_of_the_detector(file, recording, tmp_path, run_here, complaint):
    labels = tmp_path / "labels.txt"
    labels.write_text("dog\ncat\n")
    printed = complaint(file, recording, "--labels", labels)
    assert printed.startswith(f"detect_events.py: {labels} must have")
    assert "of the 3 that the detector knows. Its lines: 2" in printed
    labels.write_text("dog\ncat\ncow\n\n")
    assert "cow" in run_here(file, recording, "--labels", labels, "--threshold", 0)


def test_another_model_is_refused(tmp_path, recording, complaint):
    inputs = keras.Input((3,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "model.keras")
    printed = complaint(tmp_path / "model.keras", recording)
    assert "must hold an ASiTEventDetector with a preprocessor. It holds: Functional" in printed
