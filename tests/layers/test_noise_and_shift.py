"""Noise and a shift in time, in training only."""

import keras
import numpy as np
import pytest

from keras_asit.layers import NoiseAndShift

SPECTROGRAMS = np.arange(8 * 20 * 3, dtype="float32").reshape(8, 20, 3)


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_nothing_happens_outside_of_training():
    np.testing.assert_array_equal(to_numpy(NoiseAndShift()(SPECTROGRAMS)), SPECTROGRAMS)


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


def test_symbolic_calls_and_configuration():
    layer = NoiseAndShift(0.2, 3, seed=5)
    model = keras.Sequential([keras.Input((20, 3)), NoiseAndShift.from_config(layer.get_config())])
    assert model.output_shape == (None, 20, 3)
    np.testing.assert_allclose(
        to_numpy(model(SPECTROGRAMS, training=True)), to_numpy(layer(SPECTROGRAMS, training=True))
    )


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_the_type(dtype):
    output = NoiseAndShift(dtype=dtype)(SPECTROGRAMS, training=True)
    assert keras.backend.standardize_dtype(output.dtype) == dtype.removeprefix("mixed_")


@pytest.mark.parametrize("arguments", [{"amplitude": -1}, {"max_frames": -1}, {"max_frames": 1.5}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        NoiseAndShift(**arguments)


def test_another_rank():
    with pytest.raises(ValueError, match=r"\(batch, frames, mels\)"):
        NoiseAndShift()(np.zeros((2, 3), "float32"), training=True)
