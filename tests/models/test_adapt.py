"""`ASiTAudioConverter.adapt`: statistics of a dataset's log-mels."""

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_asit.data import audio_dataset
from keras_asit.models import ASiTAudioConverter, audio_converter


@pytest.fixture
def waveforms():
    """Clips of noise of many lengths and levels; the last is shorter than a frame."""
    generator = np.random.default_rng(1)
    lengths = [400, 2000, 3333, 16000, 5000, 100]
    levels = [0.01, 1.0, 0.3, 0.001, 0.5, 1.0]
    return [
        (level * generator.uniform(-1, 1, length)).astype("float32")
        for length, level in zip(lengths, levels)
    ]


def adapted(dataset, **kwargs):
    converter = ASiTAudioConverter(num_frames=16, num_mels=32, **kwargs)
    converter.adapt(dataset)
    return converter.mean, converter.standard_deviation


def log_mels(waveforms):
    filterbank = ASiTAudioConverter(num_mels=32).filterbank
    frames = [
        next(iter(tf.data.Dataset.from_tensors(waveform).map(filterbank))) for waveform in waveforms
    ]
    return np.concatenate(frames).astype("float64")


def test_statistics_are_those_of_all_frames_without_padding(waveforms):
    expected = log_mels(waveforms)
    mean, standard_deviation = adapted(waveforms)
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(standard_deviation, expected.std(), rtol=1e-6)


def test_adapted_spectrograms_have_mean_zero_and_half_the_spread(waveforms):
    converter = ASiTAudioConverter(num_frames=98, num_mels=32)
    converter.adapt([waveforms[3]])
    spectrogram = keras.ops.convert_to_numpy(converter(waveforms[3]))
    np.testing.assert_allclose([spectrogram.mean(), spectrogram.std()], [0, 0.5], atol=1e-4)


def test_the_order_of_clips_makes_no_difference_to_the_last_bit(waveforms):
    expected = adapted(waveforms)
    generator = np.random.default_rng(2)
    for _ in range(5):
        shuffled = [waveforms[index] for index in generator.permutation(len(waveforms))]
        assert adapted(shuffled) == expected


def test_a_long_clip_is_converted_in_pieces_without_losing_a_frame(monkeypatch):
    waveform = np.random.default_rng(1).uniform(-1, 1, 40123).astype("float32")
    expected = log_mels([waveform])
    monkeypatch.setattr(audio_converter, "SECONDS_AT_ONCE", 1)
    mean, standard_deviation = adapted([waveform])
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(standard_deviation, expected.std(), rtol=1e-6)


def test_takes_arrays_datasets_batches_and_tuples_alike(waveforms, tmp_path):
    same_length = np.stack([waveforms[1], waveforms[2][:2000]])
    expected = adapted(list(same_length))
    singles = tf.data.Dataset.from_tensor_slices(same_length)
    ragged = tf.data.Dataset.from_tensors(tf.RaggedTensor.from_tensor(same_length))
    for dataset in (
        same_length,
        singles,
        singles.batch(2),
        singles.map(lambda x: (x, "a")),
        ragged,
    ):
        assert adapted(dataset) == expected
    for index, waveform in enumerate(same_length):
        soundfile.write(tmp_path / f"{index}.wav", waveform, 16000, subtype="FLOAT")
    assert adapted(audio_dataset(tmp_path)) == expected


def test_statistics_are_kept_by_the_config(waveforms):
    converter = ASiTAudioConverter(num_mels=32)
    converter.adapt(waveforms)
    loaded = ASiTAudioConverter.from_config(converter.get_config())
    assert (loaded.mean, loaded.standard_deviation) == adapted(waveforms)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ([], "at least one clip of 25 ms or longer"),
        ([np.zeros(100, "float32")], "at least one clip of 25 ms or longer"),
        ([np.zeros(2000, "float32")] * 3, "such as silence"),
        ([np.zeros(2000, "int16")], "divide 16-bit integers by 32768"),
        ([np.zeros((1, 2, 2000), "float32")], "mix channels down"),
        ([np.full(2000, np.nan, "float32")], "must be finite.*clip 0 of `dataset`"),
    ],
)
def test_what_has_no_statistics_is_refused(dataset, message):
    with pytest.raises(ValueError, match=message):
        adapted(dataset)
