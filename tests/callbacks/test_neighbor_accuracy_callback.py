"""The callback that measures the teacher's features during pre-training."""

import csv

import keras
import numpy as np
import pytest

from keras_asit.callbacks import NeighborAccuracy
from keras_asit.evaluation import neighbor_accuracy
from keras_asit.models import ASiTBackbone, ASiTPretrainer
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
    tokens = backbone.predict(spectrograms, verbose=0)
    return np.concatenate([tokens[:, 0], tokens[:, 1:].mean(axis=1)], axis=-1)


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
def test_logs_the_accuracy_every_so_many_epochs_of_training(pretrainer, tmp_path):
    train, test = labeled_spectrograms(20, seed=1), labeled_spectrograms(12, seed=2)
    callback = NeighborAccuracy(
        *train, test_spectrograms=test[0], test_labels=test[1], num_neighbors=3, every_epochs=2
    )
    table = tmp_path / "epochs.csv"
    history = fit(pretrainer, [callback, keras.callbacks.CSVLogger(table)], epochs=4).history

    logged = history["neighbor_accuracy"]
    assert np.isnan(logged).tolist() == [True, False, True, False]
    backbone = pretrainer.teacher.backbone
    expected = neighbor_accuracy(
        features_of(backbone, train[0]),
        train[1],
        test_features=features_of(backbone, test[0]),
        test_labels=test[1],
        num_neighbors=3,
    )
    assert logged[-1] == expected
    with table.open(newline="") as file:
        written = [float(row["neighbor_accuracy"]) for row in csv.DictReader(file)]
    np.testing.assert_array_equal(written, logged)


def test_only_a_pretrainer_has_a_teacher():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    callback = NeighborAccuracy(*labeled_spectrograms(4, seed=1))
    with pytest.raises(ValueError, match="watches an ASiTPretrainer"):
        model.fit(np.zeros((2, 2)), np.zeros((2, 1)), callbacks=[callback], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": [0, 1]}, "`spectrograms` must have shape"),
        ({"test_spectrograms": np.zeros((2, 3))}, "`test_spectrograms` must have shape"),
        ({"every_epochs": 0}, "`every_epochs` must be a positive integer"),
        ({"num_neighbors": 0}, "`num_neighbors` must be a positive integer"),
        ({"pooling": "max"}, "`pooling` must be one of"),
    ],
)
def test_arguments_are_checked(arguments, message):
    spectrograms, labels = labeled_spectrograms(4, seed=1)
    with pytest.raises(ValueError, match=message):
        NeighborAccuracy(**{"spectrograms": spectrograms, "labels": labels, **arguments})
