"""`mixup`: clips of a batch and their labels, mixed alike."""

import numpy as np
import pytest
import tensorflow as tf

from keras_asit.data.mixing import mixup

CLIPS = np.eye(4, 8, dtype="float32")
LABELS = np.eye(4, dtype="float32")


def mix(number, clips=CLIPS, **kwargs):
    """Return a batch mixed with the seed of a number."""
    return mixup(tf.constant(clips), tf.constant(LABELS), tf.constant([number, 1]), **kwargs)


def test_labels_are_mixed_in_the_shares_of_the_clips():
    # Of one batch, each clip may happen to be its own partner.
    batches = [mix(number, probability=1.0) for number in range(10)]
    x, y = (np.concatenate(values) for values in zip(*batches))
    np.testing.assert_allclose(x[:, :4], y, atol=1e-6)
    np.testing.assert_allclose(np.sum(y, axis=1), 1, atol=1e-6)
    assert np.min(np.max(y, axis=1)) < 1


def test_as_often_as_asked_for():
    mixed = [np.max(mix(number, probability=0.3)[1], axis=1) < 1 for number in range(250)]
    # A clip may be its own partner, once in four.
    assert abs(np.mean(mixed) - 0.3 * 0.75) < 0.06


def test_shares_have_the_beta_distribution():
    one = tf.one_hot(tf.range(2000), 2000)
    _, labels = mixup(one, one, tf.constant([1, 2]), probability=1.0, alpha=10.0)
    shares = np.diag(labels)
    assert abs(np.mean(shares) - 0.5) < 0.01
    # The variance of a beta distribution of a and a is 1 / (4 (2 a + 1)).
    assert abs(np.std(shares) - 84**-0.5) < 0.01


def test_never():
    x, y = mix(1, probability=0.0)
    np.testing.assert_array_equal(x, CLIPS)
    np.testing.assert_array_equal(y, LABELS)


def test_ragged_clips_keep_their_lengths():
    ragged = tf.ragged.constant([[1.0, 1.0], [2.0, 2.0, 2.0, 2.0]], ragged_rank=1)
    # The first seed with which the two are not their own partners.
    batches = [mixup(ragged, tf.eye(2), [number, 1], probability=1.0) for number in range(8)]
    x, y = next(batch for batch in batches if batch[1][1, 0] > 0)
    np.testing.assert_array_equal(x.row_lengths(), [2, 4])
    long, share = x[1].numpy(), y[1, 1].numpy()
    np.testing.assert_allclose(long[:2], 2 * share + (1 - share), rtol=1e-5)
    np.testing.assert_allclose(long[2:], 2 * share, rtol=1e-5)


@pytest.mark.parametrize("labels", [np.arange(4), np.arange(4.0), np.eye(4, dtype="int32")])
def test_labels_must_have_columns(labels):
    with pytest.raises(ValueError, match=r"Labels must be float of shape \(batch, classes\)"):
        mixup(tf.constant(CLIPS), tf.constant(labels), tf.constant([1, 1]))


def test_all_follows_from_the_seed():
    for first, again in zip(mix(3, probability=1.0), mix(3, probability=1.0)):
        np.testing.assert_array_equal(first, again)
    assert not np.array_equal(mix(3, probability=1.0)[1], mix(4, probability=1.0)[1])
