"""Audio files with labels: `read_labeled_clips`, `LabeledClips`, `balanced_weights`."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_set_layouts import write_audioset, write_class_folders

from keras_asit.data import LabeledClips, balanced_weights, read_class_index, read_labeled_clips


@pytest.fixture
def files(tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).touch()
    return tmp_path


def names(clips):
    return [Path(path).name for path in clips.paths]


def test_a_folder_a_class(tmp_path):
    clips = read_labeled_clips(write_class_folders(tmp_path / "sounds", 2))
    assert clips.class_names == ["cat", "dog"]
    assert clips.labels == [(0,), (0,), (1,), (1,)]
    assert names(clips) == ["0.wav", "1.wav"] * 2


def test_a_class_folder_without_audio_is_named(tmp_path):
    folder = write_class_folders(tmp_path / "sounds", 2)
    (folder / "cow").mkdir()
    (folder / "cow" / "1.txt").touch()
    with pytest.warns(UserWarning, match=r"1 of 3 subfolders hold no audio file.*'cow'; accepted"):
        clips = read_labeled_clips(folder)
    assert clips.class_names == ["cat", "dog"]


def test_csv_with_several_labels_a_file(files):
    (files / "labels.csv").write_text("wav,labels\na.wav,dog\nb.wav,dog; bark\nc.wav,bark\n")
    clips = read_labeled_clips(files / "labels.csv")
    assert clips.class_names == ["bark", "dog"]
    assert clips.labels == [(1,), (0, 1), (0,)]
    assert clips.multi_label


def test_json_with_the_classes_of_audioset(tmp_path):
    folder = write_audioset(tmp_path, 2)
    index = read_class_index(folder / "class_labels_indices.csv")
    clips = read_labeled_clips(folder / "train.json", class_names=index)
    assert clips.class_names == ["Speech", "Music, popular", "Human sounds"]
    assert clips.labels == [(0, 2), (1,)]


def test_segments_find_files_in_each_of_the_usual_names(tmp_path):
    for name in ("Yaaa.wav", "bbb_30.wav", "Yccc_30.000.flac"):
        (tmp_path / "audio").mkdir(exist_ok=True)
        (tmp_path / "audio" / name).touch()
    segments = tmp_path / "eval_segments.csv"
    segments.write_text(
        "# Segments csv created Sun Mar  5 10:54:25 2017\n# num_ytids=3\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        'aaa, 30.000, 40.000, "/m/09x0r,/t/dd00088"\nbbb, 30.000, 40.000, "/m/09x0r"\n'
        'ccc, 30.000, 40.000, "/t/dd00088"\n'
    )
    clips = read_labeled_clips(segments, audio_folder=tmp_path / "audio")
    assert names(clips) == ["Yaaa.wav", "bbb_30.wav", "Yccc_30.000.flac"]
    assert clips.labels == [(0, 1), (0,), (1,)]


def test_everything_wrong_is_said_at_once(files):
    (files / "labels.csv").write_text("path,label\na.wav,dog\na.wav,dog\nz.wav,cow\nb.wav,\n")
    with pytest.raises(ValueError) as error:
        read_labeled_clips(files / "labels.csv", class_names=["dog", "cat"])
    message = str(error.value)
    assert "1 of 4 files that do not exist" in message
    assert "z.wav" in message
    assert "1 of 4 files more than once" in message
    assert "'cow'" in message
    assert "1 files without a label" in message


def test_missing_files_can_be_left_out_with_a_warning(files):
    (files / "labels.csv").write_text("path,label\na.wav,dog\nz.wav,cat\n")
    with pytest.warns(UserWarning, match=r"left out 1 of 2 files.*z\.wav"):
        clips = read_labeled_clips(files / "labels.csv", missing="skip")
    assert names(clips) == ["a.wav"]
    assert clips.class_names == ["cat", "dog"]


def test_relative_paths_may_start_elsewhere(files):
    manifest = files / "manifests" / "labels.json"
    manifest.parent.mkdir()
    manifest.write_text(json.dumps({"data": [{"wav": "a.wav", "labels": "dog"}]}))
    assert names(read_labeled_clips(manifest, audio_folder=files)) == ["a.wav"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.csv", "path,kind\na.wav,dog\n", "label or labels"),
        ("labels.json", '{"data": [{"wav": "a.wav"}]}', "must have the form"),
        ("labels.json", "not json", "labels.json' is not valid JSON"),
        ("labels.json", '{"data": [{"wav": 5, "labels": "a"}]}', "must have the form"),
        ("labels.json", '{"data": [{"wav": "a.wav", "labels": 5}]}', "must have the form"),
        ("labels.csv", "path,label\n,dog\n", "Line 2 .*labels.csv' is empty in column 'path'"),
        ("labels.csv", f"path,label\na.wav,{200_000 * 'b'}\n", "labels.csv' is not valid CSV"),
        ("labels.txt", "a.wav", "must be one of .csv, .json"),
        ("segments.csv", "# Segments\nabc, 0.0, 10.0, x\n", "audio_folder"),
    ],
)
def test_manifests_of_another_form(files, name, content, message):
    (files / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_labeled_clips(files / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "path,label\na.wav,Köter\n"),
        ("labels.json", '{"data": [{"wav": "a.wav", "labels": "Köter"}]}'),
    ],
)
def test_manifests_in_another_encoding_say_so(files, name, content):
    (files / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=f"{name}' is not UTF-8 text"):
        read_labeled_clips(files / name)


def test_sources_without_classes(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_labeled_clips(tmp_path / "absent")
    with pytest.raises(ValueError, match="a subfolder a class"):
        read_labeled_clips(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("mid,name\n/m/09x0r,Speech\n", "columns"), ("index,mid,display_name\n1,x,y\n", "from 0")],
)
def test_class_index_of_another_form(tmp_path, content, message):
    (tmp_path / "index.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_class_index(tmp_path / "index.csv")


CLIPS = LabeledClips(["a.wav", "b.wav", "c.wav"], [(1,), (0, 1), ()], ["bark", "dog"])


def test_labels_as_a_matrix():
    np.testing.assert_array_equal(CLIPS.label_matrix(), [[0, 1], [1, 1], [0, 0]])
    assert CLIPS.multi_label


def test_selected_clips_keep_all_classes():
    first = CLIPS.select([0])
    assert first.class_names == ["bark", "dog"]
    assert not first.multi_label
    np.testing.assert_array_equal(first.label_indices(), [1])


def test_one_label_is_asked_for_with_the_path():
    with pytest.raises(ValueError, match=r"b\.wav has 2 labels"):
        CLIPS.label_indices()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([(0,)], "2 paths, 1 labels"),
        ([(0,), (2,)], r"\(2,\) for b\.wav"),
        ([(0,), (-1,)], "0 to 1"),
        ([0, 1], r"must be a tuple of indices.*Received: 0 for a\.wav"),
        ([(0,), ("dog",)], r"must be a tuple of indices.*Received: \('dog',\) for b\.wav"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(ValueError, match=message):
        LabeledClips(["a.wav", "b.wav"], labels, ["bark", "dog"])


def test_every_class_is_drawn_as_often_and_labels_add_up():
    labels = [(0,), (0,), (0, 1), ()]
    weights = balanced_weights(LabeledClips(list("abcd"), labels, ["dog", "cat", "cow"]))
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3 + 1, 0])


def test_only_labeled_clips():
    with pytest.raises(ValueError, match="list"):
        balanced_weights(["a.wav"])
