"""Windows that cover recordings of any length, predictions, averages where windows overlap."""

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from keras import ops

from keras_asit.data import decode_audio
from keras_asit.evaluation import predict_recordings, window_dataset, window_starts
from keras_asit.evaluation.windows import average_windows
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)

# A window of 8,000 samples.
CONVERTER = ASiTAudioConverter(num_frames=48, num_mels=8)
LENGTH = 7920


def windows_of(dataset):
    """Return a list of (spectrogram, index of its file)."""
    return [
        (spectrogram.numpy(), int(index))
        for spectrograms, indices in dataset
        for spectrogram, index in zip(spectrograms, indices)
    ]


def assert_converted(spectrogram, waveform, atol=1e-4):
    expected = ops.convert_to_numpy(CONVERTER(waveform))
    np.testing.assert_allclose(spectrogram, expected, rtol=0, atol=atol)


# --- Where windows start ---


@pytest.mark.parametrize(
    ("length", "overlap", "starts"),
    [
        (0, 0.0, [0]),
        (7, 0.0, [0]),
        (10, 0.0, [0]),
        (11, 0.0, [0, 1]),
        (28, 0.0, [0, 9, 18]),
        (28, 0.5, [0, 4, 9, 14, 18]),
    ],
)
def test_as_few_windows_as_overlap_enough_are_evenly_spaced(length, overlap, starts):
    assert window_starts(length, 10, overlap=overlap).tolist() == starts


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.9])
def test_windows_cover_the_length_and_no_more(overlap):
    for length in range(10, 60):
        starts = window_starts(length, 10, overlap=overlap)
        assert (starts[0], starts[-1]) == (0, length - 10)
        assert np.all(np.diff(starts) <= max(1, round(10 * (1 - overlap))) + 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 10), "`length` must be an integer of at least 0"),
        ((10, 0), "`window` must be a positive integer"),
    ],
)
def test_lengths_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        window_starts(*arguments)


# --- Datasets of windows ---


def test_a_recording_no_longer_than_a_window_is_one_window(write_noise):
    paths = [write_noise("short.wav", 0.3), write_noise("exact.wav", LENGTH / 16000)]
    windows = windows_of(window_dataset(paths, CONVERTER))
    assert [index for _, index in windows] == [0, 1]
    for (spectrogram, _), path in zip(windows, paths):
        assert_converted(spectrogram, decode_audio(path))


def test_a_short_recording_can_be_padded_with_silence(write_noise):
    paths = [write_noise("short.wav", 0.3), write_noise("exact.wav", LENGTH / 16000)]
    windows = windows_of(window_dataset(paths, CONVERTER, pad_with_silence=True))
    for (spectrogram, _), path in zip(windows, paths):
        waveform = decode_audio(path)
        assert_converted(spectrogram, np.pad(waveform, (0, LENGTH - len(waveform))))


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_whole_windows_cover_a_longer_recording_evenly(write_noise, overlap):
    path = write_noise("long.wav", 1.4)
    recording = decode_audio(path)
    windows = windows_of(window_dataset([path], CONVERTER, overlap=overlap))
    starts = window_starts(len(recording), LENGTH, overlap=overlap)
    assert len(windows) == len(starts) == (5 if overlap else 3)
    for (spectrogram, _), start in zip(windows, starts):
        assert_converted(spectrogram, recording[start : start + LENGTH])


def test_batches_mix_files_and_keep_their_order(write_noise):
    paths = [write_noise(f"{seconds}.wav", seconds) for seconds in (0.9, 0.2, 0.7)]
    dataset = window_dataset(paths, CONVERTER, batch_size=3)
    assert [indices.numpy().tolist() for _, indices in dataset] == [[0, 0, 1], [2, 2]]
    assert dataset.element_spec[0].shape.as_list() == [None, 48, 8]


def test_files_are_resampled(write_noise):
    path = write_noise("a.wav", 0.9, sample_rate=8000)
    (spectrogram, _), _ = windows_of(window_dataset([path], CONVERTER))
    # Above 4 kHz there is next to nothing, whose logarithm is of little precision.
    assert_converted(spectrogram, decode_audio(path)[:LENGTH], atol=1e-2)


def test_unreadable_files_are_skipped_and_keep_their_index(write_noise, bad_files):
    paths = [*bad_files, write_noise("good.wav", 0.2)]
    with pytest.warns(UserWarning, match="Skipped 4 of 5 audio files"):
        windows = windows_of(window_dataset(paths, CONVERTER))
    assert [index for _, index in windows] == [4]


def test_samples_far_out_of_range_make_a_file_unreadable(tmp_path, write_noise):
    integers = tmp_path / "integers.wav"
    soundfile.write(integers, np.full(100, 20000.0), 16000, subtype="FLOAT")
    paths = [integers, write_noise("good.wav", 0.2)]
    reason = r"integers\.wav \(has samples far beyond \[-1, 1\], up to 20000;"
    with pytest.warns(UserWarning, match=reason):
        windows = windows_of(window_dataset(paths, CONVERTER))
    assert [index for _, index in windows] == [1]


def test_a_pass_without_readable_files_is_an_error_unless_it_may_be(bad_files):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Of 4 audio files, 0 could be"):
        windows_of(window_dataset(list(bad_files), CONVERTER))
    with pytest.warns(UserWarning, match="Skipped 4 of 4"):
        assert windows_of(window_dataset(list(bad_files), CONVERTER, at_least=0)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"converter": 16000}, "`converter` must be an ASiTAudioConverter. Received: int"),
        ({"overlap": 1.0}, "`overlap` must be a number between 0 and 0.9"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"num_workers": 0}, "`num_workers` must be a positive integer"),
        ({"at_least": -1}, "`at_least` must be an integer of at least 0"),
    ],
)
def test_arguments_are_checked(write_noise, arguments, message):
    with pytest.raises(ValueError, match=message):
        window_dataset([write_noise("a.wav")], **{"converter": CONVERTER, **arguments})


# --- Predictions ---


@pytest.fixture
def converter():
    return ASiTAudioConverter(num_frames=16, num_mels=16)


@pytest.fixture
def averages():
    """A model whose output is the mean of each mel bin, and two powers of it."""
    inputs = keras.Input((16, 16))
    mean = keras.ops.mean(inputs, axis=1)
    return keras.Model(inputs, keras.ops.stack([mean, mean**2], axis=1))


@pytest.fixture
def recordings(tmp_path):
    """Files shorter than a window of 0.175 s, unreadable, of one window, and of three."""
    generator = np.random.default_rng(1)
    for name, samples in {"a": 1000, "c": 2800, "d": 7600}.items():
        soundfile.write(tmp_path / f"{name}.wav", generator.uniform(-0.5, 0.5, samples), 16000)
    (tmp_path / "b.wav").write_bytes(b"no audio")
    return tmp_path


def expected_outputs(converter, path):
    waveform = decode_audio(path)
    windows = [converter(waveform[start:][:2800]) for start in window_starts(len(waveform), 2800)]
    means = keras.ops.convert_to_numpy(keras.ops.stack(windows)).mean(axis=1)
    return np.stack([means, means**2], axis=1).mean(axis=0)


def test_averages_the_outputs_of_the_windows_of_each_readable_file(
    recordings, converter, averages, capsys
):
    with pytest.warns(UserWarning, match="Skipped 1 of 4"):
        outputs, indices = predict_recordings(
            averages, recordings, converter=converter, batch_size=2, verbose=1
        )
    assert indices.tolist() == [0, 2, 3]
    assert outputs.shape == (3, 2, 16)
    assert outputs.dtype == "float32"
    for output, name in zip(outputs, "acd"):
        expected = expected_outputs(converter, recordings / f"{name}.wav")
        np.testing.assert_allclose(output, expected, atol=1e-4)
    assert "4/4" in capsys.readouterr().out


@pytest.mark.slow
def test_averages_probabilities_of_a_classifier(recordings, converter):
    classifier = ASiTAudioClassifier(
        ASiTBackbone((16, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8),
        3,
        ASiTAudioClassifierPreprocessor(converter),
    )
    probabilities, _ = predict_recordings(classifier, [recordings / "d.wav"], overlap=0.5)
    np.testing.assert_allclose(probabilities.sum(axis=-1), [1.0], atol=1e-5)


@pytest.mark.slow
def test_nothing_readable_is_an_error_unless_it_may_be(recordings, converter, averages):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Of 1 audio files, 0 could be read"):
        predict_recordings(averages, [recordings / "b.wav"], converter=converter)
    with pytest.warns(UserWarning, match="Skipped 1 of 1"):
        outputs, indices = predict_recordings(
            averages, [recordings / "b.wav"], converter=converter, at_least=0
        )
    assert outputs.shape == (0, 2, 16)
    assert indices.shape == (0,)


def test_what_is_no_model_or_converter_is_refused(recordings, converter, averages):
    with pytest.raises(ValueError, match=r"`model` must be a keras\.Model"):
        predict_recordings(lambda x: x, recordings, converter=converter)
    with pytest.raises(ValueError, match="`converter` must be an ASiTAudioConverter"):
        predict_recordings(averages, recordings)


# --- Averages ---


def test_averages_where_windows_overlap_are_weighted():
    windows = [[[1.0], [2.0], [3.0]], [[6.0], [7.0], [8.0]]]
    average = average_windows(windows, np.array([0, 2]), [1, 2, 1])
    assert average.dtype == "float32"
    np.testing.assert_allclose(average, [[1], [2], [4.5], [7], [8]])
