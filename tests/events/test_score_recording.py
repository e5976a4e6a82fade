"""Scores of recordings of any length."""

import numpy as np
import pytest
from keras import ops

from keras_asit.events import score_recording
from keras_asit.models import ASiTAudioConverter, ASiTBackbone, ASiTEventDetector


@pytest.fixture
def parts():
    backbone = ASiTBackbone((48, 32), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    detector = ASiTEventDetector(backbone, 3, num_steps=10)
    return detector, ASiTAudioConverter(num_frames=48, num_mels=32)


def noise(seconds):
    size = int(seconds * 16000)
    return np.random.default_rng(1).uniform(-0.5, 0.5, size).astype("float32")


def test_one_window_is_scored_as_the_detector_does(parts):
    detector, converter = parts
    waveform = noise(detector.window_seconds)
    logits = detector(converter(waveform[None]))["strong"]
    expected = ops.convert_to_numpy(ops.sigmoid(logits))[0]
    np.testing.assert_allclose(score_recording(*parts, waveform), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.03, 0.2, 0.5, 0.51, 1.7, 4.0])
@pytest.mark.parametrize("overlap", [0, 0.5, 0.9])
def test_every_step_of_any_length_is_scored(parts, seconds, overlap):
    scores = score_recording(*parts, noise(seconds), overlap=overlap)
    assert scores.shape == (int(np.ceil(seconds / 0.05 - 1e-9)), 3)
    assert np.all((scores > 0) & (scores < 1))


def test_windows_do_not_depend_on_the_batch(parts):
    waveform = noise(3)
    few, many = (score_recording(*parts, waveform, batch_size=size) for size in (1, 64))
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 100), "float32"), "shape"),
        (np.zeros(0, "float32"), "is empty"),
        (np.zeros(100, "int16"), "32768"),
        (np.array([0.0, np.nan]), "sample 1 of `waveform` is nan"),
    ],
)
def test_bad_waveforms_are_errors(parts, waveform, message):
    with pytest.raises(ValueError, match=message):
        score_recording(*parts, waveform)


def test_a_converter_of_another_shape_is_an_error(parts):
    with pytest.raises(ValueError, match="num_frames=48"):
        score_recording(parts[0], ASiTAudioConverter(), noise(1))
