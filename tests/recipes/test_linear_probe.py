"""The recipe that measures frozen features."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

RECIPE = Path(__file__).parents[2] / "recipes" / "linear_probe.py"


def write_tones(folder, clips):
    """Write tones of two pitches, far enough apart for any features, and of one class a folder."""
    generator = np.random.default_rng(clips)
    for label, frequency in {"low": 300, "high": 4000}.items():
        (folder / label).mkdir(parents=True)
        for index in range(clips):
            time = np.arange(4800) / 16000
            tone = 0.3 * np.sin(2 * np.pi * frequency * time) + generator.normal(0, 0.01, 4800)
            soundfile.write(folder / label / f"{index}.wav", tone, 16000)
    return folder


@pytest.mark.slow
def test_prints_probe_and_neighbors_side_by_side_for_every_draw(preset, tmp_path, run_here):
    sounds, test = write_tones(tmp_path / "train", 8), write_tones(tmp_path / "test", 3)
    flags = ["--labels-per-class", 4, "--seeds", 2, "--random"]
    printed = run_here(preset, sounds, "--test", test, *flags)
    assert "8 clips for training, 6 for test" in printed
    rows = re.findall(r"^(\w+) +(\S+)% ± (\S+)% +(\S+)% ± (\S+)%$", printed, re.MULTILINE)
    assert [row[0] for row in rows] == ["preset", "untrained"]
    assert rows[0][1:] == ("100.0", "0.0", "100.0", "0.0")


@pytest.mark.slow
def test_sets_a_fifth_of_each_class_apart_without_test_clips(preset, tmp_path, run_here):
    printed = run_here(preset, write_tones(tmp_path / "sounds", 10), "--neighbors", 3)
    assert "16 clips for training, 4 for test" in printed
    assert "3 nearest neighbors" in printed
    assert re.search(r"^preset +100\.0% +100\.0%$", printed, re.MULTILINE)


def test_says_in_one_line_what_is_wrong(preset, tmp_path, complaint):
    assert "must be at least 1" in complaint(preset, tmp_path, "--seeds", 0)
    empty = tmp_path / "empty"
    assert str(empty) in complaint(preset, empty)
    manifest = write_tones(tmp_path / "sounds", 1) / "labels.csv"
    manifest.write_text("path,labels\nlow/0.wav,low;tone\nhigh/0.wav,high\n")
    assert "0.wav has 2 labels; it must have one" in complaint(preset, manifest)


def test_says_in_one_line_that_no_clip_can_be_read(preset, tmp_path, complaint):
    for label in ("low", "high"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "broken.wav").write_bytes(b"no audio")
    printed = complaint(preset, tmp_path)
    assert printed.startswith("linear_probe.py: Of 2 audio files, 0 could be read")


@pytest.mark.slow
def test_says_in_one_line_that_clips_are_too_few(preset, tmp_path, complaint):
    sounds, test = write_tones(tmp_path / "train", 2), write_tones(tmp_path / "test", 1)
    arguments = [preset, sounds, "--test", test, "--labels-per-class"]
    assert "fewer than 3" in complaint(*arguments, 3)
    assert "Every class needs two training clips" in complaint(*arguments, 1)
