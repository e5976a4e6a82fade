"""In training only: bands of time and of frequency are hidden, noise is added, clips roll."""

import keras
import numpy as np
import pytest
from harness import run_layer_test, to_numpy

from keras_asit.layers import NoiseAndShift, SpecAugment

ONES = np.ones((256, 40, 16), "float32")
SPECTROGRAMS = np.arange(8 * 20 * 3, dtype="float32").reshape(8, 20, 3)
# Every argument of each layer, for spectrograms of at least 20 frames and 3 mels.
ARGUMENTS = {
    SpecAugment: {"max_frames": 8, "max_mels": 3, "seed": 3},
    NoiseAndShift: {"amplitude": 0.2, "max_frames": 3, "seed": 5},
}


def hidden(layer, spectrograms=ONES):
    """Return which values a layer hides in training."""
    return to_numpy(layer(spectrograms, training=True)) == 0


@pytest.mark.parametrize("layer_class", ARGUMENTS)
def test_layer_contract(layer_class):
    run_layer_test(layer_class, ARGUMENTS[layer_class], SPECTROGRAMS / 100, half_precision_atol=0.1)


@pytest.mark.parametrize("layer_class", ARGUMENTS)
def test_nothing_happens_outside_of_training(layer_class):
    layer = layer_class(**ARGUMENTS[layer_class])
    np.testing.assert_array_equal(to_numpy(layer(SPECTROGRAMS)), SPECTROGRAMS)


@pytest.mark.parametrize("layer_class", ARGUMENTS)
def test_a_model_of_a_copy_draws_the_same_in_training(layer_class):
    layer = layer_class(**ARGUMENTS[layer_class])
    copy = layer_class.from_config(layer.get_config())
    model = keras.Sequential([keras.Input((20, 3)), copy])
    changed = to_numpy(model(SPECTROGRAMS, training=True))
    np.testing.assert_allclose(changed, to_numpy(layer(SPECTROGRAMS, training=True)))
    assert np.any(changed != SPECTROGRAMS)


@pytest.mark.parametrize("layer_class", ARGUMENTS)
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_stays_so_in_training(layer_class, dtype):
    layer = layer_class(**ARGUMENTS[layer_class], dtype=dtype)
    output = layer(SPECTROGRAMS, training=True)
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")


def test_one_band_of_frames_and_one_of_mels_are_hidden():
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


def test_each_clip_is_rolled_by_a_shift_of_its_own():
    layer = NoiseAndShift(amplitude=0, max_frames=4, seed=1)
    seen = set()
    for _ in range(20):
        for clip, rolled in zip(SPECTROGRAMS, to_numpy(layer(SPECTROGRAMS, training=True))):
            shifts = [n for n in range(-4, 5) if np.array_equal(np.roll(clip, n, axis=0), rolled)]
            assert len(shifts) == 1
            seen.update(shifts)
    assert seen == set(range(-4, 5))


def test_noise_has_an_amplitude_of_its_own_in_each_clip():
    layer = NoiseAndShift(amplitude=0.5, max_frames=0, seed=1)
    noise = to_numpy(layer(np.zeros((64, 50, 8), "float32"), training=True))
    assert noise.min() >= 0
    peaks = noise.max(axis=(1, 2))
    assert 0.2 < peaks.mean() < 0.3
    assert 0.4 < peaks.max() <= 0.5


@pytest.mark.parametrize(
    ("layer_class", "arguments", "message"),
    [
        (SpecAugment, {"max_frames": -1}, "`max_frames` must be an integer"),
        (SpecAugment, {"max_mels": 2.5}, "`max_mels` must be an integer"),
        (SpecAugment, {"max_mels": 17, "max_frames": 1}, "at most the spectrogram's 16"),
        (NoiseAndShift, {"amplitude": -1}, "`amplitude` must be a number of at least 0"),
        (NoiseAndShift, {"max_frames": -1}, "`max_frames` must be an integer"),
        (NoiseAndShift, {"max_frames": 1.5}, "`max_frames` must be an integer"),
        (NoiseAndShift, {"seed": -1}, "`seed` must be an integer of at least 0"),
    ],
)
def test_bad_arguments_are_refused(layer_class, arguments, message):
    with pytest.raises(ValueError, match=message):
        layer_class(**arguments)(ONES, training=True)


@pytest.mark.parametrize("layer_class", ARGUMENTS)
def test_another_rank_is_refused(layer_class):
    with pytest.raises(ValueError, match=r"\(batch, frames, mels\)"):
        layer_class(0, 0)(np.zeros((2, 3), "float32"), training=True)
