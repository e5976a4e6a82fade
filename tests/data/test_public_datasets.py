"""Public data sets in their own layouts, with their own splits."""

from pathlib import Path

import data_set_layouts as layouts
import pytest

from keras_asit.data import (
    read_esc50,
    read_speech_commands,
    read_spoken_digits,
    read_voxceleb1,
)


def sizes(splits):
    return {name: len(clips) for name, clips in splits.items()}


def stems(clips):
    return {Path(path).stem for path in clips.paths}


@pytest.mark.parametrize(
    "read",
    [
        lambda folder: read_esc50(folder, 1),
        read_speech_commands,
        read_spoken_digits,
        read_voxceleb1,
    ],
)
def test_folders_that_do_not_exist(read):
    with pytest.raises(ValueError, match=r"must be a folder that exists.*'nowhere/at/all'"):
        read("nowhere/at/all")


def test_esc50_tests_one_fold_and_trains_on_the_others(tmp_path):
    folder = layouts.write_esc50(tmp_path)
    splits = read_esc50(folder, fold=2)
    assert sizes(splits) == {"train": 16, "test": 4}
    assert {name[0] for name in stems(splits["test"])} == {"2"}
    assert splits["test"].class_names == ["dog", "vacuum_cleaner"]
    assert sorted(splits["test"].label_indices()) == [0, 0, 1, 1]


def test_esc50_of_another_layout(tmp_path):
    with pytest.raises(ValueError, match=r"meta/esc50\.csv' does not exist"):
        read_esc50(tmp_path, 1)
    folder = layouts.write_esc50(tmp_path)
    with pytest.raises(ValueError, match="fold=6"):
        read_esc50(folder, 6)
    (folder / "audio" / "1-100-A-0.wav").unlink()
    with pytest.raises(ValueError, match=r"names 1 of 20 files that do not exist.*1-100-A-0\.wav"):
        read_esc50(folder, 1)
    (folder / "meta" / "esc50.csv").write_text("file,label\na.wav,dog\n")
    with pytest.raises(ValueError, match="columns filename, fold, target"):
        read_esc50(folder, 1)
    (folder / "meta" / "esc50.csv").write_text("filename,fold,target,category\n")
    with pytest.raises(ValueError, match=r"meta/esc50\.csv names no audio file"):
        read_esc50(folder, 1)


def test_speech_commands_splits_by_its_lists(tmp_path):
    splits = read_speech_commands(layouts.write_speech_commands(tmp_path))
    assert sizes(splits) == {"train": 8, "validation": 2, "test": 2}
    assert stems(splits["test"]) == {"00000000_nohash_0"}
    assert stems(splits["validation"]) == {"00000001_nohash_0"}
    assert splits["train"].class_names == ["no", "yes"]
    assert list(splits["test"].label_indices()) == [0, 1]


def test_speech_commands_of_another_layout(tmp_path):
    with pytest.raises(ValueError, match=r"validation_list\.txt"):
        read_speech_commands(tmp_path)
    folder = layouts.write_speech_commands(tmp_path)
    (folder / "testing_list.txt").write_text("yes/absent.wav\n")
    with pytest.raises(ValueError, match=r"absent\.wav"):
        read_speech_commands(folder)


def test_voxceleb1_splits_by_its_file(tmp_path):
    splits = read_voxceleb1(layouts.write_voxceleb1(tmp_path))
    assert sizes(splits) == {"train": 8, "validation": 2, "test": 2}
    assert stems(splits["test"]) == {"00001"}
    assert splits["test"].class_names == ["id10001", "id10002"]
    assert list(splits["test"].label_indices()) == [0, 1]


def test_voxceleb1_of_another_layout(tmp_path):
    with pytest.raises(ValueError, match=r"iden_split\.txt"):
        read_voxceleb1(tmp_path)
    split_file = tmp_path / "split.txt"
    split_file.write_text("1 id10001/a/00001.wav\n4 id10001/a/00002.wav\n")
    with pytest.raises(ValueError, match="Line 2"):
        read_voxceleb1(tmp_path, split_file)


def test_spoken_digits_hold_recordings_5_to_14_out(tmp_path):
    folder = layouts.write_spoken_digits(tmp_path)
    splits = read_spoken_digits(folder)
    assert sizes(splits) == {"train": 16, "test": 8}
    assert {name.split("_")[2] for name in stems(splits["test"])} == {"5", "14"}
    assert splits["train"].class_names == ["0", "1"]
    assert read_spoken_digits(folder, "speaker")["test"].class_names == ["ann", "bob"]


def test_spoken_digits_of_another_layout(tmp_path):
    layouts.write_spoken_digits(tmp_path, recordings=(0, 1))
    with pytest.raises(ValueError, match="0 and 8"):
        read_spoken_digits(tmp_path)
    (tmp_path / "hello.wav").touch()
    with pytest.raises(ValueError, match=r"hello\.wav"):
        read_spoken_digits(tmp_path)
