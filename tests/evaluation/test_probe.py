"""`linear_probe_accuracy`: what a linear classifier makes of features."""

import numpy as np
import pytest

from keras_asit.evaluation import linear_probe_accuracy


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


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (([1.0], [0]), clips(4), "`features` must have shape"),
        (clips(4), (np.eye(2), [0]), "`test_features` must have shape"),
        ((np.eye(3) * np.nan, [0, 0, 1]), clips(4), "`features` must be finite"),
        ((np.eye(3), [0, 0, 1]), clips(4), "every class needs two training clips"),
    ],
)
def test_arguments_are_checked(train, test, message):
    with pytest.raises(ValueError, match=message):
        probe(train, test)
