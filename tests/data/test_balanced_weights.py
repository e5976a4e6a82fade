"""Chances of clips to be drawn."""

import numpy as np
import pytest

from keras_asit.data import LabeledClips, balanced_weights


def test_every_class_is_drawn_as_often_and_labels_add_up():
    labels = [(0,), (0,), (0, 1), ()]
    weights = balanced_weights(LabeledClips(list("abcd"), labels, ["dog", "cat", "cow"]))
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3 + 1, 0])


def test_only_labelled_clips():
    with pytest.raises(ValueError, match="list"):
        balanced_weights(["a.wav"])
