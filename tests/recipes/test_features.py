"""The benchmark of frozen features: its tasks, and a table in miniature."""

import csv
import re
from pathlib import Path

import data_set_layouts
import numpy as np
import pytest
from feature_extractors import SEGMENTS, segment_means
from feature_tasks import QUICKSTART, instrument_of, read_task

PARTS = ("train", "validation", "test")
RECIPE = Path(__file__).parents[2] / "recipes" / "benchmarks" / "features.py"


def write_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def members(task, part):
    """The file names without suffix, with their folder, and the class of each."""
    chosen = np.flatnonzero(task.parts == part)
    paths = [Path(task.paths[index]) for index in chosen]
    return [(path.parent.name, path.stem, str(task.labels[i])) for path, i in zip(paths, chosen)]


def test_a_data_sets_own_test_clips_are_the_tests_and_validation_is_apart(tmp_path):
    folder = data_set_layouts.write_spoken_digits(tmp_path / "fsdd" / "recordings", range(15))
    task = read_task("fsdd-speakers", folder.parents[1])
    assert {name.split("_")[2] for _, name, _ in members(task, "test")} == {*map(str, range(5, 15))}
    assert {label for *_, label in members(task, "validation")} == {"ann", "bob"}
    train, test = task.divide(validation=False)
    assert sorted([*train, *test]) == list(range(len(task.paths)))
    train, measured = task.divide(validation=True)
    assert {*task.parts[train]} == {"train"}
    assert {*task.parts[measured]} == {"validation"}


def test_speakers_are_in_one_part_only(tmp_path):
    names = [
        f"fsdd/recordings/{digit}_{name}_{i}.wav"
        for digit in "01"
        for name in "abc"
        for i in (1, 7)
    ]
    task = read_task("fsdd-new-speakers", write_files(tmp_path, *names))
    speakers = [{name.split("_")[1] for _, name, _ in members(task, part)} for part in PARTS]
    assert sorted(map(len, speakers)) == [1, 1, 1]
    assert set.union(*speakers) == {"a", "b", "c"}


def test_syllables_are_known_by_tones_that_are_not_in_training(tmp_path):
    sounds = {base + tone for base in ("ㄇㄚ", "ㄅㄚ") for tone in ("", "2", "3", "4")}
    # The neutral tone, and a syllable that is not in every tone.
    others = {"ㄇㄚ1", "ㄕㄥ2"}
    folder = tmp_path / "gcin-voice"
    write_files(folder, *(f"{sound}/{voice}.ogg" for sound in sounds | others for voice in (3, 5)))
    task = read_task("gcin-syllables", tmp_path)
    assert {*task.labels} == {"ㄇㄚ", "ㄅㄚ"}
    parts = [{sound for sound, *_ in members(task, part)} for part in PARTS]
    assert [len(part) for part in parts] == [4, 2, 2]
    assert set.union(*parts) == sounds


def test_tones_are_of_syllables_that_are_not_in_training(tmp_path):
    bases = "ㄅㄆㄇㄈㄉㄊㄋㄌㄍㄎ"
    sounds = [base + tone for base in bases for tone in ("", "2", "3", "4")]
    write_files(tmp_path / "gcin-voice", *(f"{sound}/3.ogg" for sound in [*sounds, "ㄅ1"]))
    task = read_task("gcin-tones", tmp_path)
    assert {*task.labels} == {"1", "2", "3", "4"}
    assert ("ㄅ", "3", "1") in [member for part in PARTS for member in members(task, part)]
    parts = [{sound[0] for sound, *_ in members(task, part)} for part in PARTS]
    assert [len(part) for part in parts] == [6, 2, 2]


@pytest.mark.parametrize(
    ("file", "instrument"),
    [
        ("PearlKick-Soft", "kick"),
        ("bassdrum-4mics-br-stereo-soft2", "kick"),
        ("HardHse_K_02", "kick"),
        ("PearlSnareRimshot-Hard", "snare"),
        ("PowR_SN_1", "snare"),
        ("SN4_02", "snare"),
        ("floortom_02", "tom"),
        ("t2_01", "tom"),
        ("VP Hat 2 Cl", "closed hi-hat"),
        ("HH_03", "closed hi-hat"),
        ("HH2_03", "open hi-hat"),
        ("EE_Hat_Op_Dirty", "open hi-hat"),
        ("crash16i__ride2", "ride"),
        ("CB2_01", "crash"),
        ("PearlSideStick-Hard", None),
        ("HiHatSemiopen-1", None),
        ("hihat-semi-open-1", None),
        ("beats_01-13", None),
        ("Cowbell-Hard", None),
    ],
)
def test_the_instrument_is_in_the_name(file, instrument):
    assert instrument_of(file) == instrument


def test_small_categories_are_left_out():
    task = read_task("quickstart", QUICKSTART)
    sizes = {label: np.sum(task.labels == label) for label in set(task.labels)}
    assert len(sizes) == 10
    assert min(sizes.values()) >= 6


def test_clips_that_are_too_few_are_named(tmp_path):
    write_files(tmp_path / "fsdd" / "recordings", "0_a_1.wav", "0_b_2.wav", "0_c_7.wav")
    with pytest.raises(ValueError, match="There are 2 recordings of '0': a part of 4"):
        read_task("fsdd-digits", tmp_path)


def test_recordings_that_cannot_be_decoded_are_left_out_and_named(tmp_path, capsys):
    folder = data_set_layouts.write_spoken_digits(tmp_path / "fsdd" / "recordings", range(15))
    damaged = write_files(folder, "1_bob_15.wav") / "1_bob_15.wav"
    task = read_task("fsdd-digits", tmp_path)
    whole = task.readable()
    assert {*task.paths} - {*whole.paths} == {str(damaged)}
    assert len(whole.paths) == len(whole.labels) == len(whole.parts) == 60
    assert str(damaged) in capsys.readouterr().err


@pytest.mark.parametrize("frames", [1, 5, 8, 100])
def test_segments_cover_all_frames_and_no_others(frames):
    values = np.arange(frames, dtype="float32")[:, None]
    means = segment_means(values)
    assert means.shape == (8,)
    assert (np.diff(means) >= 0).all()
    assert means[0] < frames / SEGMENTS
    assert means[-1] > frames - 1 - frames / SEGMENTS


@pytest.mark.slow
def test_prints_tasks_and_features_and_keeps_what_it_computed(preset, tmp_path, run_here, capsys):
    data_set_layouts.write_spoken_digits(tmp_path / "fsdd" / "recordings", range(15))
    flags = ["--data", tmp_path, "--tasks", "fsdd-digits", "esc50", "--cache", tmp_path / "cache"]
    flags += ["--labels", "all", 2, "--seeds", 2, "--output", tmp_path / "table.csv"]
    printed = run_here(*flags)
    errors = capsys.readouterr().err
    assert "Without esc50: `folder` must be a folder" in errors
    lines = printed.splitlines()
    assert lines[0] == "| task | features | probe, all | probe, 2 | 1-NN, all | 1-NN, 2 |"
    title = "fsdd-digits: 2 classes, 20/40 clips"
    row = rf"\| {title} \| mean of log-mels \| 100\.0 \| 9\S+ ± \S+ \| 9\S+ \| 9\S+ ± \S+ \|"
    assert re.fullmatch(row, lines[2])
    assert lines[5].startswith("|  | ASiT, untrained | ")

    assert lines[6].startswith("| mean of 1 tasks | mean of log-mels | 100.0 | ")

    kept = {path: path.stat().st_mtime for path in (tmp_path / "cache").iterdir()}
    again = run_here(*flags, "--preset", preset, "--validation", "--peers", tmp_path)
    assert f"| {preset}, untrained | " in again
    assert f"| {preset} | " in again
    assert "Without YAMNet: " in capsys.readouterr().err
    assert all(path.stat().st_mtime == time for path, time in kept.items())

    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["labels"] for row in rows} == {"all", "2"}
    assert {row["seed"] for row in rows if row["labels"] == "2"} == {"0", "1"}


def test_checks_flags_before_anything_else(complaint):
    assert "--seeds: must be at least 1, not 0" in complaint("--seeds", 0)
    assert "--labels: must be at least 1, not none" in complaint("--labels", "none")


def test_says_in_one_line_that_there_is_nothing_to_measure(tmp_path, complaint):
    printed = complaint("--data", tmp_path, "--tasks", "drums")
    assert printed == f"features.py: None of the tasks can be read from {tmp_path}."
