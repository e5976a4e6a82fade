"""Mixup of the clips of a batch and of their labels."""

import numpy as np
import tensorflow as tf

from keras_asit.data.labeled_batches import mix_clips

CLIPS = np.eye(4, 8, dtype="float32")


def mix(number, **kwargs):
    """Return a batch of four clips, a class each, mixed with the seed of a number."""
    ragged = tf.RaggedTensor.from_tensor(CLIPS)
    clips, labels = mix_clips(ragged, tf.eye(4), tf.constant([number, 1]), **kwargs)
    return clips.to_tensor(), labels


def test_labels_are_mixed_in_the_shares_of_the_clips():
    # Of one batch, each clip may happen to be its own partner.
    batches = [mix(number) for number in range(10)]
    x, y = (np.concatenate(values) for values in zip(*batches))
    np.testing.assert_allclose(x[:, :4], y, atol=1e-6)
    np.testing.assert_allclose(np.sum(y, axis=1), 1, atol=1e-6)
    assert np.min(np.max(y, axis=1)) < 1


def test_clips_are_mixed_as_often_as_asked_for():
    mixed = [np.max(mix(number, probability=0.3)[1], axis=1) < 1 for number in range(250)]
    # A clip may be its own partner, once in four.
    assert abs(np.mean(mixed) - 0.3 * 0.75) < 0.06


def test_shares_have_the_beta_distribution():
    one = tf.RaggedTensor.from_tensor(tf.ones([2000, 1]))
    _, labels = mix_clips(one, tf.eye(2000), tf.constant([1, 2]))
    shares = np.diag(labels)
    assert abs(np.mean(shares) - 0.5) < 0.01
    # The variance of a beta distribution of a and a is 1 / (4 (2 a + 1)).
    assert abs(np.std(shares) - 84**-0.5) < 0.01


def test_a_probability_of_zero_mixes_nothing():
    x, y = mix(1, probability=0.0)
    np.testing.assert_array_equal(x, CLIPS)
    np.testing.assert_array_equal(y, np.eye(4))


def test_mixed_clips_keep_their_lengths():
    ragged = tf.ragged.constant([[1.0, 1.0], [2.0, 2.0, 2.0, 2.0]], ragged_rank=1)
    # The first seed with which the two are not their own partners.
    batches = [mix_clips(ragged, tf.eye(2), [number, 1]) for number in range(8)]
    x, y = next(batch for batch in batches if batch[1][1, 0] > 0)
    np.testing.assert_array_equal(x.row_lengths(), [2, 4])
    long, share = x[1].numpy(), y[1, 1].numpy()
    np.testing.assert_allclose(long[:2], 2 * share + (1 - share), rtol=1e-5)
    np.testing.assert_allclose(long[2:], 2 * share, rtol=1e-5)


def test_all_of_mixup_follows_from_the_seed():
    for first, again in zip(mix(3), mix(3)):
        np.testing.assert_array_equal(first, again)
    assert not np.array_equal(mix(3)[1], mix(4)[1])
