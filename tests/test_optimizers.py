"""AdamW: PyTorch's numbers, what is decayed, by which schedule; rates that fall with depth."""

from pathlib import Path

import keras
import numpy as np
import pytest
from harness import to_numpy
from keras import ops

from keras_asit.models import ASiTAudioClassifier, ASiTBackbone
from keras_asit.optimizers import AdamW, layerwise_decay
from keras_asit.schedules import WarmupCosine

# torch.optim.AdamW over five steps; "clipped" has each gradient scaled to a norm of at most 3.
GOLDEN = np.load(Path(__file__).parent / "golden" / "adamw.npz")


@keras.saving.register_keras_serializable(package="keras_asit_tests")
class Table(keras.optimizers.schedules.LearningRateSchedule):
    """The value of every step from a list."""

    def __init__(self, values):
        self.values = [float(value) for value in values]

    def __call__(self, step):
        return ops.take(ops.convert_to_tensor(self.values, "float32"), ops.cast(step, "int32"))

    def get_config(self):
        return {"values": self.values}


@pytest.mark.parametrize(("clipnorm", "name"), [(None, "plain"), (3.0, "clipped")])
def test_equals_pytorch(clipnorm, name):
    kernel = keras.Variable(GOLDEN["kernel"], name="kernel")
    bias = keras.Variable(GOLDEN["bias"], name="bias")
    optimizer = AdamW(
        Table(GOLDEN["learning_rate"]),
        weight_decay=Table(GOLDEN["weight_decay"]),
        clipnorm=clipnorm,
    )
    for step in range(5):
        gradients = GOLDEN["kernel_gradients"][step], GOLDEN["bias_gradients"][step]
        optimizer.apply([ops.convert_to_tensor(g) for g in gradients], [kernel, bias])
        expected = GOLDEN[f"{name}_kernels"][step], GOLDEN[f"{name}_biases"][step]
        for variable, value in zip((kernel, bias), expected):
            np.testing.assert_allclose(to_numpy(variable), value, atol=2e-6)


def test_epsilon_is_added_after_the_correction_of_the_bias():
    kernel = keras.Variable(GOLDEN["kernel"], name="kernel")
    optimizer = AdamW(0.01, weight_decay=0.0)
    for step in range(5):
        gradient = ops.convert_to_tensor(GOLDEN["tiny_gradients"][step])
        optimizer.apply([gradient], [kernel])
        np.testing.assert_allclose(to_numpy(kernel), GOLDEN["tiny_kernels"][step], atol=2e-6)


def test_biases_and_normalization_weights_are_not_decayed_whatever_their_rank():
    names = ["kernel", "class_token", "position_embedding", "direction", "gain"]
    spared = ["bias", "beta", "gamma"]
    variables = [keras.Variable(np.ones((1, 1, 3)), name=name) for name in names + spared]
    optimizer = AdamW(0.1, weight_decay=0.5)
    optimizer.apply([ops.zeros((1, 1, 3)) for _ in variables], variables)
    for variable in variables:
        expected = 1.0 if variable.name in spared else 1 - 0.1 * 0.5
        np.testing.assert_allclose(to_numpy(variable), expected, rtol=1e-6, err_msg=variable.name)


def test_exclude_from_weight_decay_replaces_the_choice():
    kernel, bias = (keras.Variable(np.ones(3), name=name) for name in ("kernel", "bias"))
    optimizer = AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    optimizer = AdamW.from_config(optimizer.get_config())
    optimizer.apply([ops.zeros(3), ops.zeros(3)], [kernel, bias])
    np.testing.assert_allclose(to_numpy(kernel), 1, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(bias), 0.95, rtol=1e-6)


def build_model(optimizer, jit_compile="auto"):
    """Return a model whose gradients are zero for an input of zeros: only decay moves it."""
    layer = keras.layers.Dense(2, kernel_initializer="ones", name="dense")
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(optimizer, loss="mse", jit_compile=jit_compile)
    return model


@pytest.mark.parametrize(
    "jit_compile", [False] if keras.config.backend() == "torch" else [False, True]
)
def test_weight_decay_follows_its_schedule_in_fit(jit_compile):
    decays = [0.1, 0.2, 0.4, 0.8]
    model = build_model(AdamW(0.5, weight_decay=Table(decays)), jit_compile)
    zeros = np.zeros((4, 3), "float32"), np.zeros((4, 2), "float32")
    model.fit(*zeros, batch_size=1, verbose=0)
    kernel, bias = to_numpy(model.layers[0].weights)
    np.testing.assert_allclose(kernel, np.prod(1 - 0.5 * np.array(decays)), rtol=1e-5)
    np.testing.assert_array_equal(bias, 0)


def test_constants_are_numbers():
    optimizer = AdamW(weight_decay=0.05, epsilon=1e-7)
    assert optimizer.weight_decay == 0.05
    assert optimizer.epsilon == 1e-7


def test_config_round_trip_keeps_schedules():
    optimizer = AdamW(
        WarmupCosine(5e-4, 1e-6, total_steps=10, warmup_steps=2),
        weight_decay=WarmupCosine(0.04, 0.4, total_steps=10),
        epsilon=1e-7,
        clipnorm=3.0,
        beta_2=0.95,
    )
    config = optimizer.get_config()
    copy = AdamW.from_config(config)
    assert copy.get_config() == config
    assert config["epsilon"] == 1e-7
    assert config["clipnorm"] == 3.0
    np.testing.assert_allclose(to_numpy(copy.weight_decay), 0.04, rtol=1e-6)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert keras.optimizers.serialize(copy) == keras.optimizers.serialize(optimizer)


def test_a_saved_model_goes_on_where_its_schedules_were(tmp_path):
    decays = [0.1, 0.2, 0.4, 0.8]
    model = build_model(AdamW(0.5, weight_decay=Table(decays)))
    zeros = np.zeros((2, 3), "float32"), np.zeros((2, 2), "float32")
    model.fit(*zeros, batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, AdamW)
    loaded.fit(*zeros, batch_size=1, verbose=0)
    kernel, bias = to_numpy(loaded.layers[0].weights)
    np.testing.assert_allclose(kernel, np.prod(1 - 0.5 * np.array(decays)), rtol=1e-5)
    np.testing.assert_array_equal(bias, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"learning_rate": -1e-3},
        {"learning_rate": float("nan")},
        {"weight_decay": -0.1},
        {"weight_decay": float("inf")},
        {"epsilon": -1e-8},
        {"clipnorm": -1.0},
        {"clipnorm": 0},
        {"beta_1": 1.0},
        {"beta_2": -0.5},
    ],
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be a number"):
        AdamW(**arguments)


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


def test_variables_that_are_not_decayed_are_a_list():
    with pytest.raises(ValueError, match="must be a list of regular expressions"):
        AdamW(not_decayed="bias")
