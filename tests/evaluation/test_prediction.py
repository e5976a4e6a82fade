"""`predict_recordings`: one output for a recording of any length."""

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_asit.data import decode_audio
from keras_asit.evaluation import predict_recordings, window_starts
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)


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
