"""Bands of time and of frequency are hidden in training."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.layers import SpecAugment

ONES = np.ones((256, 40, 16), "float32")


def hidden(layer, spectrograms=ONES):
    """Return which values a layer hides in training."""
    return ops.convert_to_numpy(layer(spectrograms, training=True)) == layer.fill_value


def test_nothing_is_hidden_outside_of_training():
    np.testing.assert_array_equal(ops.convert_to_numpy(SpecAugment(8, 4)(ONES)), ONES)


def test_one_band_of_frames_and_one_of_mels():
    frames = hidden(SpecAugment(8, 0, seed=1)).all(axis=2)
    mels = hidden(SpecAugment(0, 4, seed=1)).all(axis=1)
    for bands, widest in ((frames, 8), (mels, 4)):
        # A band starts once at most.
        starts = np.diff(bands.astype(int), axis=1, prepend=0) == 1
        assert starts.sum(axis=1).max() == 1
        assert set(bands.sum(axis=1)) == set(range(widest + 1))
        # Every place is hidden in some clip, and the bands of clips differ.
        assert bands.any(axis=0).all()


def test_the_same_seed_hides_the_same_and_calls_differ():
    layer, again = SpecAugment(8, 4, seed=3), SpecAugment(8, 4, seed=3)
    first, second = hidden(layer), hidden(layer)
    np.testing.assert_array_equal(first, hidden(again))
    assert (first != second).any()


def test_inside_a_model_and_from_its_configuration():
    layer = SpecAugment(8, 4, fill_value=-1.0, seed=3)
    copy = SpecAugment.from_config(layer.get_config())
    model = keras.Sequential([keras.Input((40, 16)), copy])
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(ONES, training=True)) == -1, hidden(layer)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_frames": -1}, "`max_frames` must be an integer"),
        ({"max_mels": 2.5}, "`max_mels` must be an integer"),
        ({"max_mels": 17, "max_frames": 1}, "at most the spectrogram's 16"),
        ({"fill_value": float("nan")}, "`fill_value`"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpecAugment(**arguments)(ONES, training=True)
