"""What a classifier is worth, class by class."""

import math

import numpy as np
import pytest

from keras_asit.evaluation import class_table

NAMES = ["cat", "dog", "cow"]


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
