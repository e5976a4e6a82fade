"""The reconstruction loss: what counts is what was masked."""

import keras
import numpy as np
import pytest
from harness import to_numpy
from keras import ops

from keras_asit.losses import MaskedReconstructionLoss


def random_views():
    return np.random.normal(size=(2, 2, 6, 4)).astype("float32")


def test_is_the_mean_absolute_error_over_masked_pixels():
    clean, reconstruction = random_views(), random_views()
    mask = (np.random.uniform(size=clean.shape) < 0.3).astype("float32")
    loss = to_numpy(MaskedReconstructionLoss()(clean, reconstruction, sample_weight=mask))
    expected = np.abs(clean - reconstruction)[mask == 1].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_is_zero_where_nothing_is_masked():
    clean = random_views()
    loss = MaskedReconstructionLoss()(clean, clean + 1, sample_weight=np.zeros_like(clean))
    assert to_numpy(loss) == 0


def test_without_a_mask_every_pixel_counts():
    clean = random_views()
    loss = MaskedReconstructionLoss()(clean, clean + 2)
    np.testing.assert_allclose(to_numpy(loss), 2, rtol=1e-5)


def test_half_precision_reconstructions_give_a_float32_loss():
    clean = random_views()
    loss = MaskedReconstructionLoss()(clean, ops.cast(clean, "bfloat16"))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"


def test_config_round_trip():
    loss = MaskedReconstructionLoss(reduction="sum", name="reconstruction")
    serialized = keras.losses.serialize(loss)
    assert keras.losses.serialize(keras.losses.deserialize(serialized)) == serialized


@pytest.mark.parametrize("mask_shape", [(2,), (2, 1, 5, 3), (2, 2, 5, 1)])
def test_shapes_that_do_not_fit_are_refused(mask_shape):
    clean = np.zeros((2, 2, 5, 3), "float32")
    with pytest.raises(ValueError, match="must have the same shape"):
        MaskedReconstructionLoss()(clean, clean, sample_weight=np.ones(mask_shape))
    with pytest.raises(ValueError, match="must have the same shape"):
        MaskedReconstructionLoss()(clean, clean[:, :1])
    with pytest.raises(ValueError, match="must have the same shape"):
        MaskedReconstructionLoss()(clean, clean[:1])
