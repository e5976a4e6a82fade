"""HEAR's common API: what its validator checks, and that embeddings are of the right moments."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_asit import hear
from keras_asit.evaluation import predict_recordings
from keras_asit.models import ASiTAudioConverter, ASiTBackbone


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("preset"))
    keras.utils.set_random_seed(1)
    ASiTBackbone((64, 16), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8).save_to_preset(
        folder
    )
    ASiTAudioConverter(num_frames=64, num_mels=16).save_to_preset(folder)
    return folder


@pytest.fixture(scope="module")
def model(preset):
    return hear.load_model(preset)


def noise(sounds, seconds):
    return np.random.uniform(-1, 1, (sounds, round(16000 * seconds))).astype("float32")


# --- What hear-validator checks ---


def test_the_model_is_a_module_with_the_sizes_that_hear_asks_for(model):
    if keras.config.backend() == "torch":
        import torch

        assert isinstance(model, torch.nn.Module)
    else:
        assert isinstance(model, tf.Module)
    assert model.sample_rate == 16000
    assert model.scene_embedding_size == 16
    assert model.timestamp_embedding_size == 8
    assert isinstance(model.scene_embedding_size, int)


def test_timestamps_are_regular_at_most_50_ms_apart_and_cover_the_sound(model):
    seconds = 1.07
    embeddings, timestamps = hear.get_timestamp_embeddings(noise(2, seconds), model)
    assert embeddings.shape == (*timestamps.shape, 8)
    assert embeddings.dtype == timestamps.dtype == "float32"
    np.testing.assert_array_equal(np.diff(timestamps), 40)
    assert 0 <= timestamps.min() < 40
    assert 1000 * seconds - 40 < timestamps.max() <= 1000 * seconds
    np.testing.assert_array_equal(timestamps[0], timestamps[1])


def test_scene_embeddings_are_one_row_a_sound(model):
    embeddings = hear.get_scene_embeddings(noise(4, 2.74), model)
    assert embeddings.shape == (4, 16)
    assert embeddings.dtype == "float32"


@pytest.mark.slow
def test_hear_validator_itself_is_content(preset):
    pytest.importorskip("hearvalidator")
    finished = subprocess.run(
        [sys.executable, "-m", "hearvalidator.validate", "keras_asit.hear", "-m", preset],
        capture_output=True,
        text=True,
    )
    assert "Looks good!" in finished.stdout, finished.stderr
    assert "We suggest a interval" not in finished.stderr


# --- Frameworks ---


def test_embeddings_come_as_what_the_audio_came_in(model):
    audio = noise(2, 0.1)
    expected = hear.get_scene_embeddings(audio, model), *hear.get_timestamp_embeddings(audio, model)
    for convert in (tf.convert_to_tensor, keras.ops.convert_to_tensor):
        tensor = convert(audio)
        scenes = hear.get_scene_embeddings(tensor, model)
        outputs = scenes, *hear.get_timestamp_embeddings(tensor, model)
        for output, values in zip(outputs, expected):
            assert type(output) is type(tensor)
            np.testing.assert_allclose(keras.ops.convert_to_numpy(output), values, atol=1e-5)


# --- The right moments ---


@pytest.fixture
def listening_model(model):
    """A model with a network that embeds a time step as the mean of its 16 frames."""
    inputs = keras.Input((64, 16))
    steps = keras.ops.mean(keras.ops.reshape(inputs, (-1, 4, 16, 16)), axis=2)
    listening = hear.HearModel(model.backbone, model.converter)
    listening.timestamp_model = keras.Model(inputs, steps)
    listening.timestamp_embedding_size = 16
    return listening


@pytest.mark.parametrize("seconds", [0.001, 0.66, 1.57])
def test_each_embedding_is_of_the_patch_around_its_timestamp(listening_model, seconds):
    audio = noise(2, seconds)
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, listening_model)
    converter = listening_model.converter
    silence = -converter.mean / (2 * converter.standard_deviation)
    frames = keras.ops.convert_to_numpy(converter(audio, num_frames=300))
    # Before the sound, as much silence as the converter pads with behind.
    frames = np.pad(frames, [(0, 0), (100, 0), (0, 0)], constant_values=silence)
    for embedding, time in zip(embeddings.swapaxes(0, 1), timestamps[0]):
        # A patch lasts 15 shifts of 10 ms and a window of 25 ms.
        first = 100 + round((time - 175 / 2) / 10)
        np.testing.assert_allclose(embedding, frames[:, first : first + 16].mean(axis=1), atol=1e-4)


@pytest.mark.slow
def test_overlapping_patches_need_fewer_shifts():
    backbone = ASiTBackbone(
        (64, 16),
        (16, 16),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=8,
        patch_stride=(10, 16),
    )
    model = hear.HearModel(backbone, ASiTAudioConverter(num_frames=64, num_mels=16))
    _, timestamps = hear.get_timestamp_embeddings(noise(1, 1.0), model)
    np.testing.assert_array_equal(np.diff(timestamps), 50)


@pytest.mark.slow
def test_scenes_are_averages_over_windows_as_predict_recordings_has_them(model, tmp_path):
    audio = 0.5 * noise(1, 2.0)
    soundfile.write(tmp_path / "a.wav", audio[0], 16000, subtype="FLOAT")
    expected, _ = predict_recordings(model.scene_model, tmp_path, converter=model.converter)
    np.testing.assert_allclose(hear.get_scene_embeddings(audio, model), expected, atol=1e-4)


# --- Bad input ---


@pytest.mark.parametrize("embed", [hear.get_scene_embeddings, hear.get_timestamp_embeddings])
def test_bad_audio_is_refused(model, embed):
    with pytest.raises(ValueError, match=r"must have shape \(batch, samples\)"):
        embed(np.zeros(16000, "float32"), model)
    with pytest.raises(ValueError, match="must be finite"):
        embed(np.full((1, 16000), np.nan, "float32"), model)
    with pytest.raises(ValueError, match="divide 16-bit integers by 32768"):
        embed(np.zeros((1, 16000), "int16"), model)
    with pytest.raises(ValueError, match="must be what `load_model` returned"):
        embed(np.zeros((1, 16000), "float32"), model.backbone)
