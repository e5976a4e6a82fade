"""Recordings with events at known times: how they are read, and their windows."""

import numpy as np
import pytest
from data_set_layouts import write_events

from keras_asit.data import LabeledEvents, read_labeled_events
from keras_asit.data.event_labels import EventWindows


@pytest.fixture
def folder(tmp_path, write_noise):
    """A folder with recordings a.wav of 2 s and b.wav of 3 s."""
    write_noise("a.wav", 2.0)
    write_noise("b.wav", 3.0)
    return tmp_path


def read(folder, text, name="events.tsv", **options):
    (folder / name).write_text(text.replace(" | ", "\t"))
    return read_labeled_events(folder / name, **options)


HEADER = "filename | onset | offset | event_label\n"


# --- Forms ---


def test_dcase_and_audacity_say_the_same(tmp_path):
    folder = write_events(tmp_path / "recordings")
    by_table, by_files = (read_labeled_events(source) for source in (folder / "events.tsv", folder))
    assert by_table == by_files
    assert len(by_table) == 4 and by_table.class_names == ["cat", "dog"]
    assert [len(events) for events in by_table.events] == [2, 2, 2, 0]
    assert by_table.seconds == [2.0] * 4


def test_what_this_package_writes_is_read(folder):
    table = "path,onset,offset,label,score\na.wav,0.1,0.5,dog,0.9\na.wav,1.0,1.5,cat,0.8\n"
    recordings = read(folder, table, "events.csv")
    assert recordings.class_names == ["cat", "dog"]
    assert recordings.events == [((0.1, 0.5, 1), (1.0, 1.5, 0))]


@pytest.mark.parametrize("file", ["a_30", "a_30000", "Ya_30.000", "a"])
def test_audioset_strong_names_segments(folder, file):
    (folder / "a.wav").rename(folder / f"{file}.wav")
    table = "segment_id | start_time_seconds | end_time_seconds | label\n"
    table += "a_30000 | 0.0 | 1.25 | /m/1\n"
    names = {"/m/0": "Cat", "/m/1": "Dog, barking"}
    recordings = read(folder, table, class_names=names)
    assert recordings.paths == [str(folder / f"{file}.wav")]
    assert recordings.events == [((0.0, 1.25, 1),)]
    assert recordings.class_names == ["Cat", "Dog, barking"]
    with pytest.raises(ValueError, match=r"a start in milliseconds. Received: 'a'"):
        read(folder, table.replace("a_30000", "a"), class_names=names)


def test_files_that_are_named_are_no_segments(folder):
    table = "filename | segment_id | onset | offset | event_label\na.wav | 7 | 0.0 | 1.0 | dog\n"
    assert read(folder, table).paths == [str(folder / "a.wav")]


def test_classes_have_names_of_their_own_and_whole_indices(folder):
    for names, event, message in [
        (["dog", "dog"], (0, 1, 0), "Class names must differ"),
        (["dog"], (0, 1, 0.5), "An event must be"),
    ]:
        with pytest.raises(ValueError, match=message):
            LabeledEvents(["a.wav"], [(event,)], names, [2.0])


def test_labels_of_audacity_may_have_frequencies_and_blanks(folder):
    (folder / "a.wav.txt").write_text("0.5\t1.0\tdog, barking\n\\\t100.0\t2000.0\n\n")
    (folder / "b.txt").write_text("")
    recordings = read_labeled_events(folder)
    assert recordings.class_names == ["dog, barking"]
    assert recordings.events == [((0.5, 1.0, 0),), ()]


def test_events_of_a_class_that_touch_are_one(folder):
    rows = "a.wav | 1 | 1.5 | dog\na.wav | 0.2 | 1 | dog\na.wav | 0.5 | 0.7 | cat\n"
    assert read(folder, HEADER + rows).events == [((0.2, 1.5, 1), (0.5, 0.7, 0))]


# --- What is wrong ---


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav | 1.5 | 1.0 | dog", "1 rows whose offset is not behind the onset: .*1.5 1.0 dog"),
        ("a.wav | 1.5 | 1.5 | dog", "1 rows whose offset is not behind the onset"),
        ("a.wav | -0.1 | 1.0 | dog", "1 rows with a negative onset: .*a.wav -0.1 1.0 dog"),
        ("a.wav | one | 1.0 | dog", "1 rows whose times are no numbers: .*a.wav one 1.0 dog"),
        ("a.wav | nan | 1.0 | dog", "1 rows whose times are no numbers"),
        ("a.wav | | 1.0 | dog", "1 rows whose times are no numbers"),
        ("a.wav | 0.5 | 1.0 | ", "1 rows without a label: .*a.wav 0.5 1.0"),
        (
            "a.wav | 2.0 | 2.5 | dog",
            "1 rows whose onset is beyond the end of the file: .*a.wav 2.0",
        ),
        ("a.wav | 0.5 | 1.0 | cow", "1 labels that are unknown .*leave such rows out.: 'cow'"),
        ("c.wav | 0.5 | 1.0 | dog", "1 of 2 files that do not exist: .*c.wav"),
    ],
)
def test_bad_rows_are_named(folder, row, message):
    rows = f"b.wav | 0.5 | 1.0 | dog\n{row}\n"
    with pytest.raises(ValueError, match=message):
        read(folder, HEADER + rows, class_names=["cat", "dog"])


def test_all_that_is_wrong_is_said_at_once(folder):
    rows = "a.wav | 2 | 1 | dog\na.wav | -2 | 1 | dog\nb.wav | -1 | 1 | dog\nc.wav | 0 | 1 | dog\n"
    with pytest.raises(
        ValueError, match=r"1 of 3 files .* 1 rows whose offset .* 2 rows with a neg"
    ):
        read(folder, HEADER + rows)


def test_an_offset_beyond_the_end_is_cut_and_named(folder):
    rows = "a.wav | 0.5 | 2.5 | dog\nb.wav | 0.5 | 3.01 | dog\n"
    with pytest.warns(UserWarning, match="1 events were cut .*a.wav 0.5 2.5 dog") as warned:
        recordings = read(folder, HEADER + rows)
    assert len(warned) == 1
    assert recordings.events == [((0.5, 2.0, 0),), ((0.5, 3.0, 0),)]


def test_missing_files_can_be_left_out(folder):
    rows = "c.wav | 0.5 | 1.0 | cat\nb.wav | 0.5 | 1.0 | dog\n"
    with pytest.warns(UserWarning, match="left out 1 files, which do not exist: .*c.wav"):
        recordings = read(folder, HEADER + rows, missing="skip")
    assert recordings.class_names == ["cat", "dog"]
    assert recordings.events == [((0.5, 1.0, 1),)]
    with pytest.raises(ValueError, match="names no audio file that exists"):
        read(folder, HEADER + "c.wav | 0.5 | 1.0 | cat\n", missing="skip")


def test_sources_are_checked(folder):
    (folder / "a.txt").write_text("0 1 dog\n".replace(" ", "\t"))
    with pytest.raises(ValueError, match=r"1 files without a .txt file of labels .*b.wav"):
        read_labeled_events(folder)
    with pytest.raises(ValueError, match=r"must be in .csv or .tsv, or in a folder"):
        read_labeled_events(folder / "a.txt")
    with pytest.raises(ValueError, match="is empty"):
        read(folder, HEADER)
    with pytest.raises(ValueError, match=r"a header with the columns .* onset or start_time_sec"):
        read(folder, "filename | offset | event_label\na.wav | 1 | dog\n")


def test_a_damaged_file_is_left_to_the_passes(folder):
    (folder / "c.wav").write_bytes(b"no audio")
    recordings = read(folder, HEADER + "c.wav | 0.5 | 99 | dog\n")
    assert recordings.seconds == [0.0] and recordings.events == [((0.5, 99.0, 0),)]
    assert recordings.count_windows(10.0) == [1]


@pytest.mark.parametrize(
    "event", [(1.0, 1.0, 0), (-1.0, 1.0, 0), (0.0, np.inf, 0), (0.0, 1.0, 2), (0.0, 1.0, -1)]
)
def test_events_are_checked(event):
    with pytest.raises(ValueError, match="An event must be"):
        LabeledEvents(["a.wav"], [(event,)], ["cat", "dog"], [2.0])
    with pytest.raises(ValueError, match="1 paths, events of 0, durations of 1"):
        LabeledEvents(["a.wav"], [], ["cat", "dog"], [2.0])


# --- Windows ---


def steps_of(windows, index):
    labels = np.zeros(windows.num_steps * len(windows.recordings.class_names))
    labels[windows[index]] = 1
    return labels.reshape(windows.num_steps, -1)


def test_windows_cover_a_recording_with_its_labels():
    events = [((0.0, 1.0, 0), (1.5, 2.25, 1)), ()]
    recordings = LabeledEvents(["a", "b"], events, ["cat", "dog"], [2.5, 0.5])
    windows = EventWindows(recordings, 1.0, 10)
    assert recordings.count_windows(1.0) == [3, 1]
    assert windows.paths == ["a", "a", "a", "b"]
    assert windows.offsets.tolist() == [0.0, 0.5, 1.0, 0.0]
    # They start at 0, 0.75 and 1.5 seconds.
    cats, dogs = np.stack([steps_of(windows, index) for index in range(4)], axis=-1).swapaxes(0, 1)
    assert cats.sum(axis=0).tolist() == [10, 3, 0, 0] and cats[:3, 1].all()
    assert dogs.sum(axis=0).tolist() == [0, 2, 8, 0] and dogs[8:, 1].all() and dogs[:8, 2].all()


@pytest.mark.parametrize(
    ("onset", "offset", "steps"), [(0.12, 0.13, [1]), (0.17, 0.33, [2]), (0.24, 0.58, [2, 3, 4, 5])]
)
def test_a_step_is_of_an_event_that_covers_most_of_it(onset, offset, steps):
    recordings = LabeledEvents(["a"], [((onset, offset, 0),)], ["dog"], [1.0])
    assert EventWindows(recordings, 1.0, 10)[0].tolist() == steps
