"""Audio files with labels."""

import numpy as np
import pytest

from keras_asit.data import LabeledClips

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
