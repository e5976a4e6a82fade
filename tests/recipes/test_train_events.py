"""The recipe that trains event detectors, on tones at known times."""

import csv
import json
import shutil
from pathlib import Path

import data_set_layouts as layouts
import keras
import numpy as np
import pytest
import soundfile

from keras_asit.data import read_labeled_events
from keras_asit.models import ASiTEventDetector

RECIPE = Path(__file__).parents[2] / "recipes" / "train_events.py"
NETWORK = ["--hidden-dim", 16, "--num-layers", 1, "--num-heads", 1]
QUICK = ["--seconds", 1, "--epochs", 1, "--batch-size", 4, *NETWORK]


@pytest.fixture
def events(tmp_path):
    """Recordings of two classes of tones, as DCASE's table beside them."""
    return layouts.write_events(tmp_path / "recordings") / "events.tsv"


@pytest.mark.slow
def test_it_learns_where_tones_are_and_keeps_thresholds_for_detection(tmp_path, run_here):
    parts = [
        layouts.write_events(tmp_path / name, number) for name, number in (("a", 24), ("b", 8))
    ]
    output = tmp_path / "run"
    flags = ["--validation", parts[1] / "events.tsv", "--test", parts[1], "--output", output]
    flags += ["--seconds", 1, "--epochs", 30, "--batch-size", 8, "--learning-rate", 3e-3, *NETWORK]
    printed = run_here(parts[0] / "events.tsv", *flags)
    report = json.loads((output / "report.json").read_text())
    assert report["test_recordings"] == 8
    # Chance would find a fifth of them.
    assert report["event_f1"] > 0.5 and report["segment_f1"] > 0.6
    assert f"event_f1 {report['event_f1']:.4g}" in printed
    assert not (output / "checkpoints").exists()
    with (output / "classes.csv").open(newline="") as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["cat", "dog"]
    saved = keras.saving.load_model(output / "detector.keras", compile=False)
    preset = ASiTEventDetector.from_preset(str(output / "preset"))
    for detector in (saved, preset):
        assert detector.class_names == ["cat", "dog"] and detector.num_steps == 25
        assert (detector.thresholds, detector.median_steps) == (
            preset.thresholds,
            preset.median_steps,
        )
    assert preset.thresholds != [0.5, 0.5]
    assert "event_f1" in (output / "preset" / "README.md").read_text()


@pytest.fixture
def quick_run(events, tmp_path, run_here):
    output = tmp_path / "run"
    printed = run_here(events, "--validation", events, "--output", output, *QUICK)
    return output, printed


def test_without_a_test_the_report_is_of_the_validation(quick_run, events, complaint):
    output, printed = quick_run
    assert "Validation: validation_recordings 4, psds1 " in printed
    assert json.loads((output / "report.json").read_text())["validation_recordings"] == 4
    line = complaint(events, "--validation", events, "--output", output, *QUICK)
    assert "holds detector.keras of another run" in line


def test_detection_takes_what_was_chosen(quick_run, events, tmp_path, monkeypatch):
    import detect_events

    output, _ = quick_run
    detector = ASiTEventDetector.from_preset(str(output / "preset"))
    detector.keep_thresholds([0.0, 1.0], [1, 3])
    detector.save_to_preset(tmp_path / "preset")
    recording = events.parent / "0.wav"

    def labels(*flags):
        table = tmp_path / f"{len(list(tmp_path.glob('*.csv')))}.csv"
        command = ["detect_events.py", tmp_path / "preset", recording, "--output", table, *flags]
        monkeypatch.setattr("sys.argv", list(map(str, command)))
        detect_events.main()
        with table.open(newline="") as file:
            return {row["label"] for row in csv.DictReader(file)}

    assert labels() == {"cat"}
    assert labels("--threshold", 0) == {"cat", "dog"}


def test_part_of_the_recordings_can_be_set_apart_for_validation(events, tmp_path, run_here):
    flags = ["--validation-share", 0.5, "--output", tmp_path / "run", *QUICK]
    assert "2 recordings for train, 2 recordings for validation" in run_here(events, *flags)


def test_says_in_one_line_what_is_wrong(events, tmp_path, complaint):
    flags = ["--output", tmp_path / "run", *QUICK]
    assert "too few to set 1% of them apart" in complaint(
        events, "--validation-share", 0.01, *flags
    )
    other = events.with_name("other.tsv")
    other.write_text(events.read_text().replace("dog", "cow"))
    printed = complaint(events, "--validation", other, *flags)
    assert "1 labels that are unknown" in printed and printed.endswith(
        "leave such rows out): 'cow'"
    )
    other.write_text("filename\tonset\toffset\tevent_label\n0.wav\t\t\t\n")
    assert "for test, has no event" in complaint(events, "--test", other, *flags)
    other.write_text(events.read_text() + "\n0.wav\t1.5\t0.5\tdog\n9.wav\t0\t1\tdog\n")
    line = complaint(other, *flags)
    assert "1 of 5 files that do not exist" in line
    assert "1 rows whose offset is not behind the onset" in line and "0.wav 1.5 0.5 dog" in line
    assert not (tmp_path / "run" / "settings.json").exists()


def test_audioset_strong_is_read_by_its_index(events, tmp_path, run_here):
    for recording in events.parent.glob("*.wav"):
        recording.rename(recording.with_name(f"Y{recording.stem}_30.000.wav"))
    table = (
        events.read_text().replace(".wav", "_30000").replace("cat", "/m/1").replace("dog", "/m/2")
    )
    header = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n"
    events.write_text(header + table.split("\n", 1)[1] + "\nabsent_0\t0.0\t1.0\t/m/1\n")
    index = tmp_path / "index.csv"
    index.write_text('index,mid,display_name\n0,/m/1,Cat\n1,/m/2,"Dog, barking"\n')
    flags = ["--class-index", index, "--missing", "skip", "--output", tmp_path / "run", *QUICK]
    with pytest.warns(UserWarning, match="left out 1 files, which do not exist"):
        run_here(events, "--validation-share", 0.5, *flags)
    detector = ASiTEventDetector.from_preset(str(tmp_path / "run" / "preset"))
    assert detector.class_names == ["Cat", "Dog, barking"]


# --- Mixtures ---


@pytest.fixture
def sounds(tmp_path):
    """Sounds of two classes, and backgrounds."""
    folder = layouts.write_class_folders(tmp_path / "sounds")
    for index in range(3):
        layouts.write_tone(folder / "ambient" / f"{index}.wav", 0)
    return folder


def test_mixtures_repeat_and_share_no_sound(sounds, tmp_path, monkeypatch):
    import make_mixtures

    read = []
    decode = make_mixtures.read_sound
    monkeypatch.setattr(make_mixtures, "read_sound", lambda path: read.append(path) or decode(path))

    def run(output):
        flags = ["--sounds", sounds, "--classes", "cat", "--also", f"barks={sounds / 'dog'}"]
        flags += ["--seconds", 3, "--train", 5, "--validation", 3, "--test", 2]
        monkeypatch.setattr("sys.argv", ["make_mixtures.py", *map(str, [output, *flags])])
        make_mixtures.main()
        return sorted(path for path in output.rglob("*") if path.is_file())

    first, second = run(tmp_path / "first"), run(tmp_path / "second")
    assert len(first) == 3 + 10
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    # Each is read once, for the one split that it is in.
    assert len(read) == 2 * 13 and len(set(read)) == 13
    splits = [
        read_labeled_events(tmp_path / "first" / f"{name}.tsv") for name in make_mixtures.SHARES
    ]
    assert [len(split) for split in splits] == [5, 3, 2]
    assert {name for split in splits for name in split.class_names} == {"cat", "barks"}
    assert all(split.seconds == [3.0] * len(split) for split in splits)


def test_events_are_where_the_sound_is():
    import make_mixtures

    generator = np.random.default_rng(1)
    background = generator.normal(0, 1, 16000).astype("float32")
    sounds = {"beep": [np.ones(1600)], "hum": [np.ones(100000)]}
    for _ in range(20):
        mixture, events = make_mixtures.mix(sounds, [background], 5.0, generator)
        assert len(mixture) == 5 * 16000 and np.abs(mixture).max() < 1
        for onset, offset, label in events:
            assert 0 <= onset < offset <= 5.0
            assert offset - onset == pytest.approx(0.1 if label == "beep" else 3.0)
        covered = np.zeros(len(mixture), bool)
        for onset, offset, _ in events:
            covered[round(onset * 16000) : round(offset * 16000)] = True
        if events and not covered.all():
            assert np.std(mixture[~covered]) < 0.05
            assert abs(np.mean(mixture[~covered])) < 0.2 * abs(np.mean(mixture[covered]))


def test_mixtures_replace_nothing(sounds, tmp_path, monkeypatch):
    import make_mixtures

    monkeypatch.setattr("sys.argv", ["make_mixtures.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="exists already"):
        make_mixtures.main()
    shutil.rmtree(sounds / "cat")
    layouts.write_tone(sounds / "cat" / "only.wav", 0)
    command = ["make_mixtures.py", str(tmp_path / "new"), "--sounds", str(sounds)]
    monkeypatch.setattr("sys.argv", [*command, "--classes", "cat"])
    with pytest.raises(SystemExit, match="3 splits need as many recordings of each class"):
        make_mixtures.main()
    assert not (tmp_path / "new").exists()


def test_mixtures_are_of_sounds_and_of_different_classes(sounds, tmp_path, monkeypatch):
    import make_mixtures

    silent = sounds / "ambient" / "silent.wav"
    soundfile.write(silent, np.zeros(16000), 16000)
    command = ["make_mixtures.py", str(tmp_path / "new"), "--sounds", str(sounds)]
    monkeypatch.setattr("sys.argv", [*command, "--classes", "cat"])
    with pytest.raises(SystemExit, match=r"silent\.wav is silent"):
        make_mixtures.main()
    twice = f"cat={sounds / 'dog'}"
    monkeypatch.setattr("sys.argv", [*command, "--classes", "cat", "--also", twice])
    with pytest.raises(SystemExit, match="named twice"):
        make_mixtures.main()
