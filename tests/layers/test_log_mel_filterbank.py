"""The log-mel filterbank against the reference's numbers and against plain NumPy."""

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import assert_config_round_trip, run_layer_test, to_numpy

from keras_asit.layers import LogMelFilterbank

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "fbank.npz")
FLOOR = np.log(1.1920929e-07)


def random_waveforms(*shape):
    return np.random.uniform(-1, 1, shape).astype("float32")


def run_eagerly(filterbank, waveform):
    return to_numpy(filterbank(waveform))


def run_in_functional_model(filterbank, waveform):
    inputs = keras.Input((len(waveform),))
    model = keras.Model(inputs, filterbank(inputs))
    return model.predict(waveform[None], verbose=0)[0]


def run_in_tf_data(filterbank, waveform):
    dataset = tf.data.Dataset.from_tensors(waveform).map(filterbank)
    return next(iter(dataset)).numpy()


def log_mels_in_float64(waveform, sample_rate, num_mels=128):
    """The filterbank by its definition, frame by frame, in float64."""
    waveform = waveform.astype("float64") - waveform.astype("float64").mean()
    window, shift = sample_rate * 25 // 1000, sample_rate * 10 // 1000
    fft_size = 512 if sample_rate == 16000 else 1024

    def mel(frequency):
        return 1127 * np.log(1 + frequency / 700)

    frequencies = np.arange(fft_size // 2) * sample_rate / fft_size
    edges = np.linspace(mel(20), mel(sample_rate / 2), num_mels + 2)
    frames = []
    for start in range(0, len(waveform) - window + 1, shift):
        frame = waveform[start : start + window]
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        frame = frame * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1)))
        power = np.abs(np.fft.rfft(frame, fft_size))[:-1] ** 2
        energies = []
        for left, center, right in zip(edges, edges[1:], edges[2:]):
            rising = (mel(frequencies) - left) / (center - left)
            falling = (right - mel(frequencies)) / (right - center)
            energies.append(np.sum(power * np.clip(np.minimum(rising, falling), 0, None)))
        frames.append(np.log(np.maximum(energies, 1.1920929e-07)))
    return np.array(frames)


@pytest.mark.parametrize(
    ("sound", "run"),
    [
        ("chirp", run_eagerly),
        *itertools.product(
            ["chirp", "impulses", "silence", "quiet_noise"],
            [run_in_functional_model, run_in_tf_data],
        ),
    ],
)
@pytest.mark.parametrize("sample_rate", [16000, 32000])
def test_equals_the_reference(sample_rate, sound, run):
    waveform = GOLDEN[f"{sample_rate}/{sound}/waveform"]
    expected = GOLDEN[f"{sample_rate}/{sound}/fbank"]
    log_mels = run(LogMelFilterbank(sample_rate), waveform)
    assert log_mels.shape == expected.shape
    # The reference rounds to float32 at every step: next to a loud chirp, exact float64
    # arithmetic itself differs from it by up to 1.7e-4, 2.9e-4 and 6e-3 in these three ranges.
    error = np.abs(log_mels - expected)
    assert error[expected > -7].max(initial=0) < 3e-4
    assert error[(expected <= -7) & (expected > -8)].max(initial=0) < 5e-4
    assert error[expected <= -8].max(initial=0) < 2e-2


@pytest.mark.parametrize(("sample_rate", "num_mels"), [(16000, 128), (16000, 40), (32000, 128)])
def test_equals_its_definition_in_float64(sample_rate, num_mels):
    waveform = random_waveforms(sample_rate // 8)
    log_mels = run_in_functional_model(LogMelFilterbank(sample_rate, num_mels), waveform)
    expected = log_mels_in_float64(waveform, sample_rate, num_mels)
    np.testing.assert_allclose(log_mels, expected, atol=1e-3)


def test_a_constant_added_to_the_waveform_changes_nothing():
    waveform = random_waveforms(2000) / 4
    filterbank = LogMelFilterbank(16000)
    shifted = to_numpy(filterbank(waveform + np.float32(0.5)))
    np.testing.assert_allclose(shifted, to_numpy(filterbank(waveform)), atol=1e-3)


def test_silence_is_at_the_floor():
    log_mels = to_numpy(LogMelFilterbank(16000)(np.zeros(2000, "float32")))
    np.testing.assert_allclose(log_mels, FLOOR, rtol=1e-6)


def test_low_filters_without_an_fft_bin_stay_at_the_floor():
    log_mels = to_numpy(LogMelFilterbank(16000)(random_waveforms(2000)))
    at_floor = np.all(np.abs(log_mels - FLOOR) < 1e-5, axis=0)
    assert 0 < at_floor.sum() < 30
    assert not at_floor[30:].any()


@pytest.mark.parametrize(
    ("num_samples", "num_frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (96000, 598)]
)
def test_frames_lie_wholly_inside_the_waveform(num_samples, num_frames):
    filterbank = LogMelFilterbank(16000)
    assert filterbank.num_frames(num_samples) == num_frames
    assert filterbank.compute_output_shape((3, num_samples)) == (3, num_frames, 128)


def test_a_waveform_shorter_than_a_frame_has_no_frames():
    filterbank = LogMelFilterbank(16000)
    assert filterbank(random_waveforms(399)).shape == (0, 128)
    assert filterbank(random_waveforms(2, 399)).shape == (2, 0, 128)
    assert filterbank(random_waveforms(400)).shape == (1, 128)


def test_a_batch_equals_its_waveforms_one_by_one():
    waveforms = random_waveforms(2, 2000)
    filterbank = LogMelFilterbank(16000)
    one_by_one = np.stack([to_numpy(filterbank(waveform)) for waveform in waveforms])
    np.testing.assert_allclose(to_numpy(filterbank(waveforms)), one_by_one, atol=1e-4)


def test_tf_data_may_mix_lengths():
    waveforms = [random_waveforms(length) for length in (300, 1000, 2000)]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(waveforms), output_signature=tf.TensorSpec((None,), "float32")
    ).map(LogMelFilterbank(16000))
    assert dataset.element_spec.shape.as_list() == [None, 128]
    for waveform, log_mels in zip(waveforms, dataset):
        expected = log_mels_in_float64(waveform, 16000).reshape(-1, 128)
        np.testing.assert_allclose(log_mels.numpy(), expected, atol=1e-3)


def test_tf_data_batches_equal_eager_ones():
    waveforms = random_waveforms(2, 2000)
    filterbank = LogMelFilterbank(16000)
    dataset = tf.data.Dataset.from_tensor_slices(waveforms).batch(2).map(filterbank)
    log_mels, expected = next(iter(dataset)).numpy(), to_numpy(filterbank(waveforms))
    # Fourier transforms of two libraries, one of which goes by the processor: far below the peak,
    # single precision holds less.
    np.testing.assert_allclose(log_mels[expected > -8], expected[expected > -8], atol=2e-4)
    np.testing.assert_allclose(log_mels, expected, atol=5e-4)


def test_computes_in_float32_whatever_the_policy():
    filterbank = LogMelFilterbank(16000, dtype="mixed_bfloat16")
    waveform = random_waveforms(2000)
    log_mels = filterbank(waveform.astype("float64"))
    assert keras.backend.standardize_dtype(log_mels.dtype) == "float32"
    np.testing.assert_array_equal(to_numpy(log_mels), to_numpy(LogMelFilterbank(16000)(waveform)))


def test_config_round_trip():
    assert_config_round_trip(LogMelFilterbank(32000, num_mels=64))


def test_layer_contract():
    waveforms = random_waveforms(2, 2000)
    run_layer_test(LogMelFilterbank, {}, waveforms, atol=1e-3, half_precision_atol=None)


def test_a_model_may_leave_the_number_of_samples_open():
    inputs = keras.Input((None,))
    outputs = LogMelFilterbank(16000)(inputs)
    assert outputs.shape == (None, None, 128)
    model = keras.Model(inputs, outputs)
    assert model(random_waveforms(2, 2000)).shape == (2, 11, 128)


def test_has_no_weights():
    filterbank = LogMelFilterbank(16000)
    filterbank(random_waveforms(2000))
    assert filterbank.weights == []


def test_waveforms_with_channels_are_refused():
    with pytest.raises(ValueError, match=r"mix channels down first.*\(2, 800, 2\)"):
        LogMelFilterbank(16000)(np.zeros((2, 800, 2), "float32"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 16000.5}, "`sample_rate` must be an integer of at least 100"),
        ({"sample_rate": 99}, "`sample_rate` must be an integer of at least 100"),
        ({"num_mels": 0}, "`num_mels` must be a positive integer"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogMelFilterbank(**arguments)
