"""Starting in the middle of the data, and knowing which files a batch held."""

import numpy as np
import pytest
import soundfile

from keras_asit.data import ReadLog, Start, pretraining_dataset

BATCHES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine recordings, one of which is no audio: four batches of two."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(1)
    for index in range(8):
        # The length tells recordings apart.
        soundfile.write(
            folder / f"{index}.wav", generator.uniform(-0.5, 0.5, 4000 + 400 * index), 16000
        )
    (folder / "broken.wav").write_bytes(b"no audio")
    return folder


def read(folder, start=None, log=None, passes=1):
    """Return the batches of some passes from a start on."""
    dataset = pretraining_dataset(
        folder, batch_size=2, crop_seconds=0.2, roll_probability=0.0, seed=1, start=start, log=log
    )
    return [batch["clean"] for _ in range(passes) for batch in dataset.as_numpy_iterator()]


pytestmark = pytest.mark.filterwarnings("ignore:Skipped 1 of")


@pytest.fixture(scope="module")
def whole(folder):
    """Batches of three passes, and the log that noted them."""
    log = ReadLog()
    return read(folder, log=log, passes=3), log


@pytest.mark.parametrize(("epoch", "batch"), [(1, 0), (1, 2), (2, 3)])
def test_what_is_read_from_a_start_is_what_came_there_before(folder, whole, epoch, batch):
    batches, log = whole
    start = Start(epoch, batch, log.unreadable(epoch))
    rest = read(folder, start, passes=3 - epoch)
    expected = batches[epoch * BATCHES + batch :]
    assert len(rest) == len(expected)
    for one, other in zip(rest, expected):
        np.testing.assert_array_equal(one, other)


def test_the_end_of_a_pass_is_a_start_too(folder, whole):
    batches, log = whole
    rest = read(folder, Start(1, BATCHES, log.unreadable(1)), passes=2)
    np.testing.assert_array_equal(rest, batches[2 * BATCHES :])


def test_files_of_batches_are_all_files_once_but_the_unreadable(folder, whole):
    log = whole[1]
    files = [log.files(2, batch, batch) for batch in range(BATCHES)]
    assert all(len(names) == 2 for names in files)
    readable = sorted(str(path) for path in folder.glob("?.wav"))
    assert sorted(name for names in files for name in names) == readable
    assert log.files(2, 1, 2) == files[1] + files[2]


def test_files_of_passes_long_gone_are_not_known(whole):
    assert whole[1].files(0, 0, 0) == []


@pytest.mark.parametrize(
    "arguments", [{"epoch": -1}, {"batch": 0.5}, {"epoch": True}, {"unreadable": [-1]}]
)
def test_arguments_are_checked(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be an integer of at"):
        Start(**arguments)


def test_a_start_is_a_value():
    assert Start(1, 2, [3]) == Start(1, 2, (3,))
    with pytest.raises(AttributeError):
        Start().epoch = 1


def test_what_a_start_knows_to_be_unreadable_is_noted_first(folder, whole):
    log = ReadLog()
    start = Start(2, 3, whole[1].unreadable(2))
    read(folder, start, log)
    assert log.unreadable(2) == start.unreadable == (8,)
    assert log.files(2, 0, 3) == whole[1].files(2, 0, 3)


def test_a_log_can_be_cleared(folder):
    log = ReadLog()
    read(folder, log=log)
    log.clear()
    assert (log.files(0, 0, 0), log.unreadable(0)) == ([], ())
