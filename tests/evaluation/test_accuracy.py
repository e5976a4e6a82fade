"""What embeddings and classifiers know of classes: neighbors, a linear probe, a table."""

import math

import numpy as np
import pytest

from keras_asit.evaluation import class_table, linear_probe_accuracy, neighbor_accuracy

NAMES = ["cat", "dog", "cow"]

# --- Neighbors ---

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
def test_arguments_of_neighbors_are_checked(features, labels, arguments, message):
    with pytest.raises(ValueError, match=message):
        neighbor_accuracy(features, labels, **arguments)


# --- A linear probe ---


def clips(number, noise=1.0):
    """Features of two classes that a line tells apart, in large values that say nothing."""
    generator = np.random.default_rng(number)
    labels = np.arange(number) % 2
    features = 1000 * generator.normal(size=(number, 4))
    features[:, 0] = labels + noise * generator.normal(size=number)
    return features, labels


def probe(train, test, **kwargs):
    return linear_probe_accuracy(*train, test_features=test[0], test_labels=test[1], **kwargs)


def test_a_line_that_tells_classes_apart_is_found():
    assert probe(clips(40, noise=0.01), clips(20, noise=0.01)) == 1.0


def test_the_regularization_suits_features_of_which_most_are_noise():
    generator = np.random.default_rng(1)
    labels = np.arange(80) % 2
    features = generator.normal(size=(80, 200)) + 0.3 * labels[:, None]
    assert probe((features[:40], labels[:40]), (features[40:], labels[40:]), seed=1) > 0.85


def test_the_same_seed_gives_the_same_accuracy():
    assert probe(clips(12), clips(20), seed=3) == probe(clips(12), clips(20), seed=3)


def test_without_test_clips_each_fold_is_tested_by_a_probe_of_the_others():
    assert linear_probe_accuracy(*clips(40, noise=0.01), seed=1) == 1.0
    # A probe that had seen the clips would know them all by heart.
    features, labels = np.random.default_rng(1).normal(size=(60, 80)), np.arange(60) % 3
    assert linear_probe_accuracy(features, labels, regularization=1e-3, seed=1) < 0.55
    with pytest.raises(ValueError, match="three to be tested in folds"):
        linear_probe_accuracy(np.eye(4), [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (([1.0], [0]), clips(4), "`features` must have shape"),
        (clips(4), (np.eye(2), [0]), "`test_features` must have shape"),
        ((np.eye(3) * np.nan, [0, 0, 1]), clips(4), "`features` must be finite"),
        ((np.eye(3), [0, 0, 1]), clips(4), "Every class needs two training clips"),
    ],
)
def test_arguments_of_the_probe_are_checked(train, test, message):
    with pytest.raises(ValueError, match=message):
        probe(train, test)


def test_one_clip_a_class_is_enough_where_the_regularization_is_given():
    train = np.array([[0.0, 5.0, 5.0, 5.0], [1.0, 5.0, 5.0, 5.0]]), [0, 1]
    assert probe(train, clips(20, noise=0.01), regularization=1.0) == 1.0
    with pytest.raises(ValueError, match="`regularization` must be a number of at least 1e-09"):
        probe(train, clips(20), regularization=0)


# --- A table of classes ---


def test_the_most_probable_class_counts_where_every_clip_has_one_label():
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    probabilities = np.array([[0.4, 0.3, 0.3], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1]])
    cat, dog, cow = class_table(labels, probabilities, NAMES)
    assert cat == {
        "class": "cat",
        "clips": 2,
        "average_precision": 1.0,
        "auc": 1.0,
        "precision": 1.0,
        "recall": 0.5,
    }
    assert (dog["precision"], dog["recall"]) == (0.5, 1.0)
    assert cow["clips"] == 0
    assert all(math.isnan(cow[name]) for name in ("average_precision", "auc", "recall"))


def test_one_half_is_the_threshold_of_several_labels():
    labels = np.array([[1, 1, 0], [0, 0, 0]])
    probabilities = np.array([[0.6, 0.4, 0.1], [0.5, 0.1, 0.1]])
    cat, dog, _ = class_table(labels, probabilities, NAMES)
    assert (cat["precision"], cat["recall"]) == (0.5, 1.0)
    assert math.isnan(dog["precision"])
    assert dog["recall"] == 0


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(clips, 3\)"):
        class_table(np.eye(2), np.eye(2), NAMES)
