"""Starting in the middle of the data, and knowing which files a batch held."""

import numpy as np
import pytest
import soundfile

from keras_asit.data import DataPosition, pretraining_dataset

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


def read(folder, position, passes=1):
    """Return the batches of some passes from a position on."""
    dataset = pretraining_dataset(
        folder, batch_size=2, crop_seconds=0.2, roll_probability=0.0, seed=1, position=position
    )
    return [batch["clean"] for _ in range(passes) for batch in dataset.as_numpy_iterator()]


pytestmark = pytest.mark.filterwarnings("ignore:Skipped 1 of")


@pytest.fixture(scope="module")
def whole(folder):
    """Batches of three passes, and the position that noted them."""
    position = DataPosition()
    return read(folder, position, passes=3), position


@pytest.mark.parametrize(("epoch", "batch"), [(0, 1), (0, 3), (1, 0), (1, 2), (2, 3)])
def test_what_is_read_from_a_position_is_what_came_there_before(folder, whole, epoch, batch):
    batches, position = whole
    start = DataPosition(epoch, batch, position.unreadable(epoch))
    rest = read(folder, start, passes=3 - epoch)
    expected = batches[epoch * BATCHES + batch :]
    assert len(rest) == len(expected)
    for one, other in zip(rest, expected):
        np.testing.assert_array_equal(one, other)


def test_the_end_of_a_pass_is_a_position_too(folder, whole):
    batches, position = whole
    rest = read(folder, DataPosition(0, BATCHES, position.unreadable(0)), passes=2)
    np.testing.assert_array_equal(rest, batches[BATCHES : 2 * BATCHES])


def test_files_of_batches_are_all_files_once_but_the_unreadable(folder, whole):
    position = whole[1]
    files = [position.files(2, batch, batch) for batch in range(BATCHES)]
    assert all(len(names) == 2 for names in files)
    readable = sorted(str(path) for path in folder.glob("?.wav"))
    assert sorted(name for names in files for name in names) == readable
    assert position.files(2, 1, 2) == files[1] + files[2]


def test_files_of_passes_long_gone_are_not_known(whole):
    assert whole[1].files(0, 0, 0) == []


@pytest.mark.parametrize("arguments", [{"epoch": -1}, {"batch": 0.5}, {"epoch": True}])
def test_arguments_are_checked(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be an integer of at"):
        DataPosition(**arguments)
