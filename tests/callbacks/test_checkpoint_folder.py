"""A folder of checkpoints: whatever happens to a file of it, wrong numbers are never read."""

import numpy as np
import pytest

from keras_asit.callbacks.checkpoint_folder import CheckpointFolder

ARRAYS = [np.arange(6.0).reshape(2, 3), np.float32(3), np.zeros(0), np.arange(3)]
STATE = {"epoch": 1, "monitored": None}


@pytest.fixture
def written(tmp_path):
    """A folder with one checkpoint, and the path of that."""
    folder = CheckpointFolder(tmp_path, keep=2, better=min)
    folder.write("checkpoint-000001", ARRAYS, STATE)
    return folder, folder.paths()[0]


def assert_whole(arrays, state):
    assert state == STATE
    for array, expected in zip(arrays, ARRAYS, strict=True):
        np.testing.assert_array_equal(array, expected, strict=True)


def test_what_is_read_is_what_was_written(written):
    assert_whole(*written[0].read_newest())


def test_any_bit_that_changes_and_any_cut_is_noticed_or_harmless(written):
    folder, path = written
    whole = path.read_bytes()
    bits = np.random.default_rng(1).choice(8 * len(whole), 1000, replace=False)
    flipped = [
        whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :]
        for bit in bits
    ]
    noticed = 0
    for content in [*flipped, *(whole[:length] for length in range(0, len(whole), 7))]:
        path.write_bytes(content)
        try:
            arrays, state = folder.read_newest()
        except ValueError as error:
            assert "are damaged: checkpoint-000001.npz: " in str(error)
            noticed += 1
        else:
            assert_whole(arrays, state)
    assert noticed > 700


@pytest.mark.parametrize(("better", "kept"), [(min, [1, 4, 5]), (max, [4, 5])])
def test_the_newest_and_the_best_stay(tmp_path, better, kept):
    folder = CheckpointFolder(tmp_path, keep=2, better=better)
    for index, value in enumerate([3.0, 1.0, None, float("nan"), 5.0, 2.0]):
        folder.write(f"checkpoint-{index}", ARRAYS, {"monitored": value})
    assert [path.stem for path in folder.paths()] == [f"checkpoint-{index}" for index in kept]
    assert folder.read_best()[1] == {"monitored": better(1.0, 5.0)}


def test_where_nothing_was_compared_nothing_is_best(tmp_path):
    folder = CheckpointFolder(tmp_path, keep=2, better=max)
    for index, value in enumerate([None, float("nan")]):
        folder.write(f"checkpoint-{index}", ARRAYS, {"monitored": value})
    assert folder.read_best() is None
