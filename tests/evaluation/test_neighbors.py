"""`neighbor_accuracy`: whether the nearest clips are of the same class."""

import numpy as np
import pytest

from keras_asit.evaluation import neighbor_accuracy

FEATURES = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])


def test_no_clip_is_its_own_neighbor():
    assert neighbor_accuracy(FEATURES, [0, 0, 1, 1]) == 1.0
    assert neighbor_accuracy(FEATURES, [0, 1, 0, 1]) == 0.0


def test_test_clips_look_for_neighbors_among_the_others_only():
    test_features = [[2.0, 0.1], [0.1, 0.8]]
    for test_labels, expected in [(["a", "b"], 1.0), (["b", "b"], 0.5)]:
        accuracy = neighbor_accuracy(
            FEATURES, list("aabb"), test_features=test_features, test_labels=test_labels
        )
        assert accuracy == expected


def test_several_neighbors_vote():
    features = [[1.0, 0.0], [1.0, 0.3], [1.0, -0.3], [-1.0, 0.0]]
    labels = [1, 0, 0, 1]
    test = {"test_features": [[1.0, 0.0]], "test_labels": [0], "standardize": False}
    assert neighbor_accuracy(features, labels, num_neighbors=1, **test) == 0.0
    assert neighbor_accuracy(features, labels, num_neighbors=3, **test) == 1.0


def test_of_classes_with_as_many_votes_the_first_counts():
    assert neighbor_accuracy(FEATURES[:3], ["a", "b", "a"], num_neighbors=2) == 2 / 3
    assert neighbor_accuracy(FEATURES[:3], ["b", "a", "b"], num_neighbors=2) == 0.0


def test_features_of_large_values_do_not_drown_the_others_once_standardized():
    generator = np.random.default_rng(1)
    labels = np.arange(40) % 2
    features = 0.1 * generator.normal(size=(40, 20)) + labels[:, None]
    features[:, :3] = 100 * generator.normal(size=(40, 3))
    assert neighbor_accuracy(features, labels) > 0.95
    assert neighbor_accuracy(features, labels, standardize=False) < 0.8


def test_the_rounding_of_a_constant_is_no_feature():
    generator = np.random.default_rng(1)
    labels = np.arange(40) % 2
    features = generator.normal(size=(40, 4)) + 2 * labels[:, None]
    noise = 7 + 1e-7 * generator.choice([-4, 4], (40, 50))
    both = np.concatenate([features, noise], axis=1).astype("float32")
    assert 0 < both[:, 4:].std() < 1e-6
    assert neighbor_accuracy(both, labels) == neighbor_accuracy(features, labels) > 0.8


@pytest.mark.parametrize(
    ("features", "labels", "arguments", "message"),
    [
        (FEATURES[0], [0], {}, "`features` must have shape"),
        (FEATURES, [0, 1], {}, "`features` must have shape"),
        (
            FEATURES,
            [0, 0, 1, 1],
            {"test_features": FEATURES, "test_labels": [0]},
            "`test_features` must have shape",
        ),
        (FEATURES * np.nan, [0, 0, 1, 1], {}, "`features` must be finite"),
        (FEATURES, [0, 0, 1, 1], {"num_neighbors": 4}, "4 neighbors need more than 4 clips"),
        (FEATURES, [0, 0, 1, 1], {"num_neighbors": 0}, "`num_neighbors` must be a positive"),
    ],
)
def test_arguments_are_checked(features, labels, arguments, message):
    with pytest.raises(ValueError, match=message):
        neighbor_accuracy(features, labels, **arguments)
