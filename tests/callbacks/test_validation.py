"""What features, classifiers and reconstructions are worth, measured and shown in training."""

import csv
import types

import keras
import numpy as np
import pytest
from data_set_layouts import write_events, write_tone

from keras_asit.callbacks import NeighborAccuracy, ReconstructionPictures, ValidateRecordings
from keras_asit.callbacks.validation import draw_reconstructions
from keras_asit.data import LabeledClips, decode_audio, read_labeled_events
from keras_asit.evaluation import neighbor_accuracy, predict_recordings
from keras_asit.layers.pooling import VARIANCE_EPSILON
from keras_asit.metrics import MeanAveragePrecision
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
    ASiTPretrainer,
)
from keras_asit.optimizers import AdamW

SHAPE = (32, 16)


@pytest.fixture
def pretrainer():
    backbone = ASiTBackbone(SHAPE, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    pretrainer = ASiTPretrainer(
        backbone,
        num_class_prototypes=8,
        num_patch_prototypes=8,
        projection_hidden_dim=8,
        projection_bottleneck_dim=4,
        reconstruction_hidden_dim=8,
        reconstruction_bottleneck_dim=8,
    )
    # XLA takes longer to compile than these tests take to run.
    jit_compile = keras.config.backend() == "jax"
    pretrainer.compile(AdamW(1e-2), teacher_momentum=0.5, jit_compile=jit_compile)
    return pretrainer


def labeled_spectrograms(clips, seed):
    """Return noise, and for labels of two classes more of it in one half of the mels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(clips) % 2
    spectrograms = generator.normal(size=(clips, *SHAPE)).astype("float32")
    spectrograms[labels == 1, :, :8] += 0.5
    return spectrograms, labels


def fit(pretrainer, callbacks, epochs):
    batches = {"clean": np.random.normal(size=(4, 2, *SHAPE)).astype("float32")}
    return pretrainer.fit(batches, batch_size=2, epochs=epochs, callbacks=callbacks, verbose=0)


def features_of(backbone, spectrograms):
    patches = backbone.predict(spectrograms, verbose=0)[:, 1:]  # Of one mel row.
    deviation = np.sqrt(patches.var(axis=1) + VARIANCE_EPSILON)
    return np.concatenate([patches.mean(axis=1), deviation], axis=-1)


def test_measures_the_teacher_by_leaving_one_out(pretrainer):
    spectrograms, labels = labeled_spectrograms(20, seed=1)
    callback = NeighborAccuracy(spectrograms, labels)
    callback.set_model(pretrainer)
    callback.on_train_begin()
    logs = {"loss": 1.0}
    callback.on_epoch_end(0, logs)
    features = features_of(pretrainer.teacher.backbone, spectrograms)
    assert logs == {"loss": 1.0, "neighbor_accuracy": neighbor_accuracy(features, labels)}


@pytest.mark.slow
def test_logs_the_accuracy_of_each_epoch_of_training(pretrainer, tmp_path):
    spectrograms, labels = labeled_spectrograms(20, seed=1)
    callback = NeighborAccuracy(spectrograms, labels)
    table = tmp_path / "epochs.csv"
    history = fit(pretrainer, [callback, keras.callbacks.CSVLogger(table)], epochs=2).history
    features = features_of(pretrainer.teacher.backbone, spectrograms)
    assert history["neighbor_accuracy"][-1] == neighbor_accuracy(features, labels)
    with table.open(newline="") as file:
        written = [float(row["neighbor_accuracy"]) for row in csv.DictReader(file)]
    np.testing.assert_array_equal(written, history["neighbor_accuracy"])


def test_only_a_pretrainer_has_a_teacher():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    callback = NeighborAccuracy(*labeled_spectrograms(4, seed=1))
    with pytest.raises(ValueError, match="`model` must be an ASiTPretrainer"):
        model.fit(np.zeros((2, 2)), np.zeros((2, 1)), callbacks=[callback], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [0, 1]}, "`spectrograms` must have shape"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"pooling": "max"}, "`pooling` must be one of"),
    ],
)
def test_arguments_are_checked(arguments, message):
    spectrograms, labels = labeled_spectrograms(4, seed=1)
    with pytest.raises(ValueError, match=message):
        NeighborAccuracy(**{"spectrograms": spectrograms, "labels": labels, **arguments})


@pytest.fixture
def paths(tmp_path):
    return [str(write_tone(tmp_path / f"{index}.wav", index, 0.8)) for index in range(4)]


def build_classifier(**kwargs):
    backbone = ASiTBackbone((32, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=32, num_mels=16))
    classifier = ASiTAudioClassifier(backbone, 2, preprocessor, **kwargs)
    classifier.compile(jit_compile=keras.config.backend() == "jax")
    return classifier


def fit_classifier(classifier, clips, labels, epochs=1):
    """Train on noise; return the logs that a later callback sees of the last epoch."""
    seen = {}
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, (2, 5000)).astype("float32")
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.update(logs))
    callbacks = [ValidateRecordings(clips), watch]
    classifier.fit(noise, labels, epochs=epochs, callbacks=callbacks, verbose=0)
    return seen


def test_accuracy_of_whole_recordings_reaches_later_callbacks(paths, monkeypatch):
    clips = LabeledClips(paths, [(0,), (0,), (1,), (1,)], ["low", "high"])
    classifier = build_classifier()
    made, make = [], ASiTAudioClassifier.probability_model
    with monkeypatch.context() as patch:
        patch.setattr(
            ASiTAudioClassifier, "probability_model", lambda model: made.append(1) or make(model)
        )
        logs = fit_classifier(classifier, clips, np.array([0, 1]), epochs=2)
    # What is made anew is compiled anew.
    assert len(made) == 1
    probabilities, _ = predict_recordings(classifier, paths)
    assert logs["val_accuracy"] == np.mean(probabilities.argmax(axis=1) == [0, 0, 1, 1])


def test_what_is_not_finite_is_never_right(paths):
    clips = LabeledClips(paths, [(0,), (0,), (1,), (1,)], ["low", "high"])
    classifier = build_classifier()
    classifier.set_weights([np.full_like(weight, np.nan) for weight in classifier.get_weights()])
    logs = fit_classifier(classifier, clips, np.array([0, 1]))
    assert np.isnan(logs["val_accuracy"])


@pytest.mark.slow
def test_mean_average_precision_of_several_labels(paths):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    clips = LabeledClips(paths, [(0,), (0, 1), (1,), ()], ["low", "high"])
    classifier = build_classifier(multi_label=True)
    logs = fit_classifier(classifier, clips, np.eye(2, dtype="float32"))
    probabilities, _ = predict_recordings(classifier, paths)
    expected = sklearn_metrics.average_precision_score(clips.label_matrix(), probabilities)
    assert logs["val_mean_average_precision"] == pytest.approx(expected, abs=1e-6)


def test_seconds_of_recordings_with_events(tmp_path):
    recordings = read_labeled_events(write_events(tmp_path / "recordings"))
    backbone = ASiTBackbone((98, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=98, num_mels=16))
    detector = ASiTEventDetector(backbone, 2, preprocessor, num_steps=25)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    jit_compile = keras.config.backend() == "jax"
    detector.compile("adam", {"strong": loss}, jit_compile=jit_compile)
    labels = {"strong": np.zeros((2, 25, 2))}
    callbacks = [ValidateRecordings(recordings, batch_size=3)]
    history = detector.fit(np.zeros((2, 16000)), labels, verbose=0, callbacks=callbacks).history
    # Each recording has two windows of a second.
    scores, truth = [], []
    for path, events in zip(recordings.paths, recordings.events):
        waveform = decode_audio(path)
        logits = detector.predict(waveform.reshape(2, 16000), verbose=0)["strong"]
        scores.extend(logits.max(axis=1))
        steps = np.zeros((50, 2))
        for onset, offset, index in events:
            steps[round(onset * 25) : round(offset * 25), index] = 1
        truth.extend(steps.reshape(2, 25, 2).max(axis=1))
    expected = MeanAveragePrecision(2, 8)
    expected.update_state(np.stack(truth), np.stack(scores))
    (value,) = history["val_mean_average_precision"]
    assert value == pytest.approx(float(expected.result()), abs=1e-6)


def test_only_labeled_clips():
    with pytest.raises(ValueError, match="LabeledClips"):
        ValidateRecordings(["a.wav"])


# --- Pictures ---

BATCH = {"clean": np.random.default_rng(1).normal(size=(3, 2, 32, 16)).astype("float32")}


class NoPretrainer:
    """Stands for a pretrainer that reconstructs nothing."""

    def predict_on_batch(self, batch):
        clean = batch["clean"]
        nothing = np.zeros_like(clean)
        return {"clean": clean, "corrupted": nothing, "reconstruction": nothing, "mask": nothing}


def test_each_clip_has_a_picture():
    pictures = draw_reconstructions(NoPretrainer(), BATCH)
    assert len(pictures) == 3
    assert all(picture.ndim == 3 and picture.shape[2] == 3 for picture in pictures)
    assert all(picture.dtype == "uint8" and picture.std() > 0 for picture in pictures)


def test_pictures_are_written_in_each_epoch(tmp_path):
    callback = ReconstructionPictures(BATCH, tmp_path)
    callback.set_model(types.SimpleNamespace(predict_on_batch=NoPretrainer().predict_on_batch))
    assert not list(tmp_path.iterdir())
    callback.on_epoch_end(0)
    callback.on_train_end()
    (events,) = tmp_path.iterdir()
    assert "events.out.tfevents" in events.name
    assert b"reconstruction" in events.read_bytes()


def test_of_a_network_that_is_not_finite_there_are_no_pictures(tmp_path):
    def predict_on_batch(batch):
        outputs = NoPretrainer().predict_on_batch(batch)
        return {**outputs, "reconstruction": np.nan * outputs["reconstruction"]}

    callback = ReconstructionPictures(BATCH, tmp_path)
    callback.set_model(types.SimpleNamespace(predict_on_batch=predict_on_batch))
    callback.on_epoch_end(0)
    callback.on_train_end()
    (events,) = tmp_path.iterdir()
    assert b"reconstruction" not in events.read_bytes()
