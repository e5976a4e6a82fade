"""Mixup of clips and labels."""

import numpy as np
import pytest
import tensorflow as tf

from keras_asit.data import Mixup

CLIPS = np.eye(4, 8, dtype="float32")
LABELS = np.eye(4, dtype="float32")


def test_labels_are_mixed_in_the_shares_of_the_clips():
    mixup = Mixup(1.0, seed=1)
    # Of one batch, each clip may happen to be its own partner.
    batches = [mixup(tf.constant(CLIPS), tf.constant(LABELS)) for _ in range(10)]
    x, y = (np.concatenate(values) for values in zip(*batches))
    np.testing.assert_allclose(x[:, :4], y, atol=1e-6)
    np.testing.assert_allclose(np.sum(y, axis=1), 1, atol=1e-6)
    assert np.min(np.max(y, axis=1)) < 1


def test_as_often_as_asked_for():
    mixup = Mixup(0.3, seed=1)
    mixed = [
        np.max(mixup(tf.constant(CLIPS), tf.constant(LABELS))[1], axis=1) < 1 for _ in "x" * 250
    ]
    # A clip may be its own partner, once in four.
    assert abs(np.mean(mixed) - 0.3 * 0.75) < 0.06


def test_never():
    x, y = Mixup(0.0)(tf.constant(CLIPS), tf.constant(LABELS))
    np.testing.assert_array_equal(x, CLIPS)
    np.testing.assert_array_equal(y, LABELS)


def test_ragged_clips_keep_their_lengths():
    ragged = tf.ragged.constant([[1.0, 1.0], [2.0, 2.0, 2.0, 2.0]], ragged_rank=1)
    x, y = Mixup(1.0, seed=2)(ragged, tf.eye(2))
    np.testing.assert_array_equal(x.row_lengths(), [2, 4])
    long, share = x[1].numpy(), y[1, 1].numpy()
    np.testing.assert_allclose(long[:2], 2 * share + (1 - share), rtol=1e-5)
    np.testing.assert_allclose(long[2:], 2 * share, rtol=1e-5)


def test_spectrograms_are_mixed_too():
    spectrograms = np.random.default_rng(1).normal(size=(4, 5, 3)).astype("float32")
    x, y = Mixup(1.0, seed=1)(tf.constant(spectrograms), tf.constant(LABELS))
    np.testing.assert_allclose(x, np.einsum("bc,cfm->bfm", y, spectrograms), atol=1e-5)


def test_passes_repeat_from_run_to_run_and_differ_from_each_other():
    def passes():
        dataset = tf.data.Dataset.from_tensors((CLIPS, LABELS)).repeat(5).map(Mixup(1.0, seed=3))
        return [np.stack([y for _, y in dataset.as_numpy_iterator()]) for _ in range(2)]

    first, again = passes(), passes()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(*first)


@pytest.mark.parametrize("kinds", [("float64", "float32"), ("float32", "float64")])
def test_double_precision_is_mixed_in_single(kinds):
    clips, labels = CLIPS.astype(kinds[0]), LABELS.astype(kinds[1])
    expected = Mixup(1.0, seed=1)(tf.constant(CLIPS), tf.constant(LABELS))
    for mixed, values in zip(Mixup(1.0, seed=1)(tf.constant(clips), tf.constant(labels)), expected):
        assert mixed.dtype == tf.float32
        np.testing.assert_array_equal(mixed, values)


def test_clips_must_be_float():
    with pytest.raises(ValueError, match="dtype=int16"):
        Mixup()(tf.constant(CLIPS.astype("int16")), tf.constant(LABELS))


@pytest.mark.parametrize("labels", [np.arange(4), np.arange(4.0), np.eye(4, dtype="int32")])
def test_labels_must_have_columns(labels):
    with pytest.raises(ValueError, match=r"\(batch, classes\)"):
        Mixup()(tf.constant(CLIPS), tf.constant(labels))


def test_bad_arguments():
    with pytest.raises(ValueError, match="probability"):
        Mixup(1.5)
    with pytest.raises(ValueError, match="alpha"):
        Mixup(alpha=0)
