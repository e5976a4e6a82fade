"""Accuracy or mean average precision of whole recordings after each epoch."""

import keras
import numpy as np
import pytest
from data_set_layouts import write_tone

from keras_asit.callbacks import ValidateRecordings
from keras_asit.data import LabeledClips
from keras_asit.evaluation import predict_recordings
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)


@pytest.fixture
def paths(tmp_path):
    return [str(write_tone(tmp_path / f"{index}.wav", index, 0.8)) for index in range(4)]


def build_classifier(**kwargs):
    backbone = ASiTBackbone((32, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=32, num_mels=16))
    classifier = ASiTAudioClassifier(backbone, 2, preprocessor, **kwargs)
    classifier.compile(jit_compile=keras.config.backend() == "jax")
    return classifier


def fit(classifier, clips, labels):
    """Train for one epoch on noise; return the logs that a later callback sees."""
    seen = {}
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, (2, 5000)).astype("float32")
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.update(logs))
    classifier.fit(noise, labels, callbacks=[ValidateRecordings(clips), watch], verbose=0)
    return seen


def test_accuracy_of_whole_recordings_reaches_later_callbacks(paths):
    clips = LabeledClips(paths, [(0,), (0,), (1,), (1,)], ["low", "high"])
    classifier = build_classifier()
    logs = fit(classifier, clips, np.array([0, 1]))
    probabilities, _ = predict_recordings(classifier, paths)
    assert logs["val_accuracy"] == np.mean(probabilities.argmax(axis=1) == [0, 0, 1, 1])


def test_what_is_not_finite_is_never_right(paths):
    clips = LabeledClips(paths, [(0,), (0,), (1,), (1,)], ["low", "high"])
    classifier = build_classifier()
    classifier.set_weights([np.full_like(weight, np.nan) for weight in classifier.get_weights()])
    logs = fit(classifier, clips, np.array([0, 1]))
    assert np.isnan(logs["val_accuracy"])


@pytest.mark.slow
def test_mean_average_precision_of_several_labels(paths):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    clips = LabeledClips(paths, [(0,), (0, 1), (1,), ()], ["low", "high"])
    classifier = build_classifier(multi_label=True)
    logs = fit(classifier, clips, np.eye(2, dtype="float32"))
    probabilities, _ = predict_recordings(classifier, paths)
    expected = sklearn_metrics.average_precision_score(clips.label_matrix(), probabilities)
    assert logs["val_mean_average_precision"] == pytest.approx(expected, abs=1e-6)


def test_only_labeled_clips():
    with pytest.raises(ValueError, match="LabeledClips"):
        ValidateRecordings(["a.wav"])
