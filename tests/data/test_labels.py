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


@pytest.mark.filterwarnings("error")
def test_files_beside_the_class_folders_are_counted(tmp_path):
    folder = write_class_folders(tmp_path / "sounds", 2)
    (folder / "stray.wav").touch()
    (folder / "notes.txt").touch()
    with pytest.warns(UserWarning, match=r"left out 1 audio files that lie beside.*'stray\.wav'"):
        clips = read_labeled_clips(folder)
    assert len(clips) == 4


def test_a_flat_folder_says_which_layout_is_expected(files):
    with pytest.raises(ValueError, match=r"a subfolder a class.*such as dog/1\.wav \(3 lie in no"):
        read_labeled_clips(files)


# --- Labels with commas inside ---

NAMES = ["Speech", "Child speech, kid speaking", "Dog", "Bird vocalization, bird call, bird song"]
CHILD, CHILD_AND_DOG, BIRD = (1,), (1, 2), (3,)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'path,label\na.wav,"{0}"\nb.wav,"{0}, Dog"\nc.wav,"{1}"\n'),
        ("a.csv", 'path,label\na.wav,"{0}"\nb.wav,"Dog,{0}"\nc.wav,"{1}"\n'),
        ("a.csv", "path,label\na.wav,{0}\nb.wav,{0},Dog\nc.wav,{1}\n"),
        ("a.csv", "path;label\na.wav;{0}\nb.wav;{0};Dog\nc.wav;{1}\n"),
        ("a.csv", 'label,path\n"{0}",a.wav\n"{0}; Dog",b.wav\n"{1}",c.wav\n'),
        ("a.tsv", "path\tlabel\na.wav\t{0}\nb.wav\t{0}; Dog\nc.wav\t{1}\n"),
        ("a.json", '[["a.wav", "{0}"], ["b.wav", "Dog,{0}"], ["c.wav", "{1}"]]'),
        ("a.json", '[["a.wav", ["{0}"]], ["b.wav", ["Dog", "{0}"]], ["c.wav", ["{1}"]]]'),
    ],
)
def test_known_names_stay_whole(files, name, content):
    content = content.replace("{0}", NAMES[1]).replace("{1}", NAMES[3])
    if name.endswith(".json"):
        data = [{"wav": wav, "labels": labels} for wav, labels in json.loads(content)]
        content = json.dumps({"data": data})
    (files / name).write_text(content)
    clips = read_labeled_clips(files / name, class_names=NAMES)
    assert clips.labels == [CHILD, CHILD_AND_DOG, BIRD]
    assert clips.class_names == NAMES


def test_names_stay_whole_where_semicolons_or_lists_separate_them(files):
    content = f'path,label\na.wav,"{NAMES[1]}"\nb.wav,"{NAMES[1]}; Dog"\nc.wav,Dog\n'
    (files / "a.csv").write_text(content)
    labels = [[NAMES[1]], [NAMES[1], "Dog"], ["Dog"]]
    data = [{"wav": f"{name}.wav", "labels": each} for name, each in zip("abc", labels)]
    (files / "a.json").write_text(json.dumps({"data": data}))
    for name in ("a.csv", "a.json"):
        clips = read_labeled_clips(files / name)
        assert clips.class_names == [NAMES[1], "Dog"]
        assert clips.labels == [(0,), (0, 1), (1,)]


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ("Child speech, kid speaking", None, "['Child speech, kid speaking'] or ['Child speech', "),
        ("Dog,Child speech, kid", None, "['Dog,Child speech, kid'] or ['Dog', 'Child speech', 'k"),
        ("Dog,Cat;Cow", None, "['Dog,Cat', 'Cow'] or ['Dog', 'Cat', 'Cow']"),
        ("Dog, Cat", ["Dog", "Cat", "Dog, Cat"], "['Dog', 'Cat'] or ['Dog, Cat']"),
    ],
)
def test_what_can_be_read_in_two_ways_is_an_error_with_both(files, labels, names, message):
    (files / "a.csv").write_text(f'path,label\na.wav,"{labels}"\n')
    with pytest.raises(ValueError, match="1 files whose labels can be read in two ways") as error:
        read_labeled_clips(files / "a.csv", class_names=names)
    assert f"a.wav: {message}" in str(error.value)


def test_cells_beyond_the_header_are_an_error_unless_the_labels_are_last(files):
    (files / "a.csv").write_text("path,label,fold\na.wav,Child speech, kid speaking,3\n")
    with pytest.raises(ValueError, match=r"Line 2 .* more cells than the 3 columns.*quotes.*kid"):
        read_labeled_clips(files / "a.csv", class_names=NAMES)
    (files / "a.csv").write_text("path,label\na.wav,Child speech, kid speaking\n")
    with pytest.raises(ValueError, match="can be read in two ways"):
        read_labeled_clips(files / "a.csv")


def test_labels_separated_by_commas_alone(files):
    (files / "a.csv").write_text('path,label\na.wav,"dog,bark"\nb.wav,bark\nc.wav,dog\n')
    assert read_labeled_clips(files / "a.csv").labels == [(0, 1), (0,), (1,)]


def test_indices_of_classes_in_json(files):
    data = [{"wav": "a.wav", "labels": 7}, {"wav": "b.wav", "labels": [3, 7]}]
    (files / "a.json").write_text(json.dumps({"data": data}))
    clips = read_labeled_clips(files / "a.json")
    assert clips.class_names == ["3", "7"]
    assert clips.labels == [(1,), (0, 1)]


@pytest.mark.parametrize("labels", ['""', '"dog,"', '"dog;;cat"', '" "', "[]", '["dog", ""]'])
def test_an_empty_label_is_an_error(files, labels):
    data = f'{{"data": [{{"wav": "a.wav", "labels": {labels}}}]}}'
    (files / "a.json").write_text(data)
    with pytest.raises(ValueError, match=r"1 files without a label: .*a\.wav"):
        read_labeled_clips(files / "a.json")


def test_an_empty_class_name_is_an_error(files):
    (files / "a.csv").write_text("path,label\na.wav,dog\n")
    with pytest.raises(ValueError, match="Every class needs a name"):
        read_labeled_clips(files / "a.csv", class_names=["dog", " "])


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
        ("labels.json", '{"data": [{"wav": "a.wav", "labels": null}]}', "must have the form"),
        ("labels.json", '{"data": [{"wav": "a.wav", "labels": [["a"]]}]}', "must have the form"),
        ("labels.csv", "path,label\n,dog\n", "Line 2 .*labels.csv' is empty in column 'path'"),
        ("labels.csv", f"path,label\na.wav,{200_000 * 'b'}\n", "labels.csv' is not valid CSV"),
        ("labels.txt", "a.wav", "must be one of .csv, .tsv, .json"),
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


def test_the_classes_of_audioset_strong_have_no_header(tmp_path):
    path = tmp_path / "mid_to_display_name.tsv"
    path.write_text('/m/09x0r\tSpeech\n/t/dd00006\tDog, "barking"\n')
    assert read_class_index(path) == {"/m/09x0r": "Speech", "/t/dd00006": 'Dog, "barking"'}
    path.write_text("/m/09x0r\n")
    with pytest.raises(ValueError, match="a class, a tab and its name"):
        read_class_index(path)
