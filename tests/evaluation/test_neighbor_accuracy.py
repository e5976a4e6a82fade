"""`neighbor_accuracy`: whether the nearest clips are of the same class."""

import numpy as np
import pytest

from keras_asit.evaluation import neighbor_accuracy

FEATURES = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])


def test_no_clip_is_its_own_neighbor():
    assert neighbor_accuracy(FEATURES, [0, 0, 1, 1]) == 1.0
    assert neighbor_accuracy(FEATURES, [0, 1, 0, 1]) == 0.0


def test_test_clips_look_for_neighbors_among_the_others_only():
    assert neighbor_accuracy(FEATURES, list("aabb"), [[2.0, 0.1], [0.1, 0.8]], ["a", "b"]) == 1.0
    assert neighbor_accuracy(FEATURES, list("aabb"), [[2.0, 0.1], [0.1, 0.8]], ["b", "b"]) == 0.5


def test_several_neighbors_vote():
    features = [[1.0, 0.0], [1.0, 0.3], [1.0, -0.3], [-1.0, 0.0]]
    labels = [1, 0, 0, 1]
    test = [[1.0, 0.0]], [0]
    assert neighbor_accuracy(features, labels, *test, 1, standardize=False) == 0.0
    assert neighbor_accuracy(features, labels, *test, 3, standardize=False) == 1.0


def test_features_of_large_values_do_not_drown_the_others_once_standardized():
    generator = np.random.default_rng(1)
    labels = np.arange(40) % 2
    features = 0.1 * generator.normal(size=(40, 20)) + labels[:, None]
    features[:, :3] = 100 * generator.normal(size=(40, 3))
    assert neighbor_accuracy(features, labels) > 0.95
    assert neighbor_accuracy(features, labels, standardize=False) < 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FEATURES[0], [0]), "`features` must have shape"),
        ((FEATURES, [0, 1]), "`features` must have shape"),
        ((FEATURES, [0, 0, 1, 1], FEATURES, [0]), "`test_features` must have shape"),
        ((FEATURES * np.nan, [0, 0, 1, 1]), "`features` must be finite"),
        ((FEATURES, [0, 0, 1, 1], None, None, 4), "4 neighbours need more than 4 clips"),
        ((FEATURES, [0, 0, 1, 1], None, None, 0), "`num_neighbors` must be a positive integer"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        neighbor_accuracy(*arguments)
