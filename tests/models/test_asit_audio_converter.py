"""From waveforms to normalised spectrograms of a fixed length."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_asit.layers import LogMelFilterbank
from keras_asit.models import ASiTAudioConverter, ASiTBackbone

MEAN, STANDARD_DEVIATION = -4.2677393, 4.5689974


def waveforms(samples=8000, batch=2):
    return np.random.default_rng(1).uniform(-1, 1, (batch, samples)).astype("float32")


def convert(converter, *args, **kwargs):
    return ops.convert_to_numpy(converter(*args, **kwargs))


def test_normalises_by_twice_the_standard_deviation():
    log_mels = ops.convert_to_numpy(LogMelFilterbank()(waveforms()))
    expected = (log_mels[:, :32] - MEAN) / (2 * STANDARD_DEVIATION)
    actual = convert(ASiTAudioConverter(num_frames=32), waveforms())
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_pads_with_zeros_before_normalising():
    spectrograms = convert(ASiTAudioConverter(num_frames=64), waveforms())
    frames = LogMelFilterbank().num_frames(8000)
    padding = spectrograms[:, frames:]
    assert padding.shape == (2, 64 - frames, 128)
    np.testing.assert_allclose(padding, -MEAN / (2 * STANDARD_DEVIATION), rtol=1e-6)


def test_a_waveform_shorter_than_a_frame_is_all_padding():
    spectrograms = convert(ASiTAudioConverter(num_frames=16), waveforms(100))
    np.testing.assert_allclose(spectrograms, -MEAN / (2 * STANDARD_DEVIATION), rtol=1e-6)


def test_one_waveform_is_converted_like_a_batch_of_one():
    converter = ASiTAudioConverter(num_frames=32)
    one = convert(converter, waveforms()[0])
    assert one.shape == (32, 128)
    np.testing.assert_allclose(one, convert(converter, waveforms())[0], atol=1e-5)


@pytest.mark.parametrize("known_length", [True, False])
def test_converts_alike_inside_tf_data(known_length):
    converter = ASiTAudioConverter(num_frames=32)
    signature = tf.TensorSpec((8000,) if known_length else (None,), tf.float32)
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(waveforms()), output_signature=signature
    ).map(converter)
    assert dataset.element_spec.shape == (32, 128)
    inside = np.stack([spectrogram.numpy() for spectrogram in dataset])
    np.testing.assert_allclose(inside, convert(converter, waveforms()), atol=1e-4)


def test_works_inside_a_model():
    inputs = keras.Input((8000,))
    model = keras.Model(inputs, ASiTAudioConverter(num_frames=32)(inputs))
    assert model.output_shape == (None, 32, 128)
    expected = convert(ASiTAudioConverter(num_frames=32), waveforms())
    np.testing.assert_allclose(model.predict(waveforms(), verbose=0), expected, atol=1e-4)


def test_loads_from_the_preset_of_its_backbone(tmp_path):
    backbone = ASiTBackbone((32, 128), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    converter = ASiTAudioConverter(32000, num_frames=32, mean=-5.0, standard_deviation=3.0)
    backbone.save_to_preset(str(tmp_path))
    converter.save_to_preset(str(tmp_path))
    loaded = keras_hub.layers.AudioConverter.from_preset(str(tmp_path))
    assert isinstance(loaded, ASiTAudioConverter)
    assert loaded.audio_shape() == (32, 128)
    np.testing.assert_array_equal(convert(loaded, waveforms()), convert(converter, waveforms()))


def test_channels_must_be_mixed_down_first():
    with pytest.raises(ValueError, match="mix channels down"):
        ASiTAudioConverter()(np.zeros((2, 2, 8000), "float32"))


@pytest.mark.parametrize(
    "arguments", [{"sample_rate": 0}, {"num_frames": -1}, {"standard_deviation": 0.0}]
)
def test_impossible_arguments_are_errors(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ASiTAudioConverter(**arguments)
