"""Learning rates that fall with the depth."""

import keras
import numpy as np
import pytest

from keras_asit.models import ASiTAudioClassifier, ASiTBackbone
from keras_asit.optimizers import AdamW, layerwise_decay


@pytest.mark.parametrize(
    "adapt",
    [
        "freeze",
        pytest.param("low_rank", marks=pytest.mark.slow),
        pytest.param("freeze_and_low_rank", marks=pytest.mark.slow),
    ],
)
def test_frozen_layers_do_not_keep_weights_from_being_averaged(adapt):
    backbone = ASiTBackbone((32, 16), num_layers=2, num_heads=1, hidden_dim=8, mlp_dim=8)
    backbone.trainable = not adapt.startswith("freeze")
    if adapt.endswith("low_rank"):
        backbone.enable_lora(2)
    classifier = ASiTAudioClassifier(backbone, 2, compile=False)
    optimizer = AdamW(1e-2, use_ema=True, ema_momentum=0.5)
    classifier.compile(
        layerwise_decay(optimizer, backbone),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = [variable.numpy() for variable in classifier.trainable_variables]
    classifier.fit(
        np.ones((2, 32, 16), "float32"),
        np.array([0, 1]),
        callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True)],
        verbose=0,
    )
    after = [variable.numpy() for variable in classifier.trainable_variables]
    assert any(not np.array_equal(one, other) for one, other in zip(before, after))


def test_deeper_layers_learn_more_slowly():
    backbone = ASiTBackbone((32, 16), num_layers=2, num_heads=1, hidden_dim=8, mlp_dim=8)
    optimizers = layerwise_decay(AdamW(1.0), backbone, 0.5).optimizers
    rates = {float(optimizer.learning_rate) for optimizer in optimizers}
    assert rates == {1.0, 0.5, 0.25, 0.125}
