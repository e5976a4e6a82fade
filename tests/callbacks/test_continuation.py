"""Everything that a fine-tuning is goes on: augmentation, averages, callbacks of Keras."""

import keras
import numpy as np
import pytest
from data_set_layouts import write_tone
from small_training import Died, LossOfEachBatch, StopAfter, die

from keras_asit.callbacks import Checkpoints, LogTable, ValidateRecordings
from keras_asit.data import LabeledClips, labeled_dataset
from keras_asit.layers import SpecAugment
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)
from keras_asit.optimizers import AdamW, layerwise_decay

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Your input ran out of data")]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Six clips of two classes: three batches of two."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [str(write_tone(folder / f"{index}.wav", index % 2, 0.5)) for index in range(6)]
    return LabeledClips(paths, [(index % 2,) for index in range(6)], ["low", "high"])


def build_classifier():
    """A classifier with all that is random in training, and averages of its weights."""
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone(
        (32, 16), num_layers=2, num_heads=1, hidden_dim=8, mlp_dim=8, drop_path_rate=0.5
    )
    classifier = ASiTAudioClassifier(
        backbone,
        2,
        ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=32, num_mels=16)),
        dropout=0.5,
        augmentation=SpecAugment(8, 4, seed=1),
    )
    optimizer = AdamW(1e-2, use_ema=True, ema_momentum=0.9)
    classifier.compile(
        layerwise_decay(optimizer, backbone, 0.8),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy("accuracy")],
        run_eagerly=keras.config.backend() == "tensorflow",
    )
    return classifier


def finetune(clips, folder, *callbacks):
    """Train for two epochs; return the logs, the last weights and the best."""
    classifier, logs = build_classifier(), LossOfEachBatch()
    best_of = {"monitor": "val_accuracy", "mode": "max"}
    checkpoints = Checkpoints(folder / "checkpoints", save_freq=2, **best_of)

    def batches(start):
        return labeled_dataset(
            clips,
            batch_size=2,
            crop_seconds=0.3,
            one_hot=True,
            mixup=0.5,
            shuffle=True,
            seed=1,
            start=start,
            log=checkpoints.log,
        )

    best = keras.callbacks.ModelCheckpoint(
        folder / "best.weights.h5",
        save_best_only=True,
        save_weights_only=True,
        **best_of,
    )
    callbacks = [
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        ValidateRecordings(clips, batch_size=6),
        best,
        LogTable(folder / "epochs.csv"),
        logs,
        *callbacks,
    ]
    checkpoints.fit(classifier, batches, 2, callbacks=callbacks, verbose=0)
    last = classifier.get_weights()
    checkpoints.load_best(classifier)
    return logs, last, classifier.get_weights(), (best.best, (folder / "epochs.csv").read_text())


@pytest.fixture(scope="module")
def expected(clips, tmp_path_factory):
    """What comes of a fine-tuning that is never interrupted."""
    return finetune(clips, tmp_path_factory.mktemp("uninterrupted"), StopAfter(100, die))


@pytest.mark.parametrize(("died_after", "goes_on_at"), [(3, (0, 2)), (6, (1, 2))])
def test_a_fine_tuning_goes_on_exactly(clips, expected, tmp_path, died_after, goes_on_at):
    with pytest.raises(Died):
        finetune(clips, tmp_path, StopAfter(died_after, die))
    logs, *results = finetune(clips, tmp_path, StopAfter(100, die))
    assert min(logs.batches) == goes_on_at
    expected_logs, *expected_results = expected
    assert logs.batches == {
        at: log for at, log in expected_logs.batches.items() if at >= goes_on_at
    }
    assert results[2] == expected_results[2]
    for weights, expected_weights in zip(results[:2], expected_results[:2]):
        for weight, expected_weight in zip(weights, expected_weights, strict=True):
            np.testing.assert_array_equal(weight, expected_weight)
