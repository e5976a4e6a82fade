"""Training a pretrainer: the original's steps, the teacher's moves, what is not finite."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden_model import build_reference_pretrainer, read_network
from keras import ops
from keras.optimizers.schedules import PolynomialDecay
from small_pretrainer import EAGERLY, SHAPE, batch_of, build, compiled, weights_of

from keras_asit.optimizers import AdamW
from keras_asit.schedules import WarmupCosine

IN_A_GRAPH = {"run_eagerly": False, "jit_compile": keras.config.backend() == "jax"}


class Table(keras.optimizers.schedules.LearningRateSchedule):
    """The values of a list, one a step."""

    def __init__(self, values):
        super().__init__()
        self.values = [float(value) for value in values]

    def __call__(self, step):
        return ops.take(ops.convert_to_tensor(self.values, "float32"), ops.cast(step, "int32"))

    def get_config(self):
        return {"values": self.values}


def test_six_steps_equal_those_of_the_original_code(golden_trajectory):
    golden = golden_trajectory
    pretrainer = build_reference_pretrainer(golden)
    temperatures = np.append(np.linspace(0.04, 0.07, 2), [0.07] * 4)[golden["epoch"]]
    pretrainer.compile(
        AdamW(Table(golden["lr"]), weight_decay=Table(golden["weight_decay"]), clipnorm=3.0),
        teacher_momentum=Table(golden["teacher_momentum"]),
        teacher_temperature=Table(temperatures),
        # TensorFlow's XLA takes longer to compile than this takes to run; it has its own test.
        jit_compile=keras.config.backend() == "jax",
    )
    for clean, mask, losses in zip(golden["clean"], golden["mask"], golden["losses"]):
        clean, mask = np.swapaxes(clean, 0, 1), np.swapaxes(mask, 0, 1).astype("float32")
        pretrainer.reset_metrics()
        logs = pretrainer.train_on_batch(
            {"clean": clean, "corrupted": clean * (1 - mask), "mask": mask}, return_dict=True
        )
        names = ("global_loss", "local_loss", "reconstruction_loss", "loss")
        np.testing.assert_allclose([logs[name] for name in names], losses[:4], rtol=0, atol=1e-4)

    for network, prefix, atol in (
        (pretrainer.student, "student/", 1e-3),
        (pretrainer.teacher, "teacher/", 1e-5),
    ):
        for name, value in read_network(network).items():
            expected = golden[prefix + name]
            np.testing.assert_allclose(value, expected, rtol=0, atol=atol, err_msg=name)
    for loss, name in (
        (pretrainer.global_distillation, "cls_center"),
        (pretrainer.local_distillation, "data_center"),
    ):
        center = ops.convert_to_numpy(loss.center)
        np.testing.assert_allclose(center, golden[name][0], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_learns_to_reconstruct_simple_spectrograms():
    generator = np.random.default_rng(1)
    bands = np.sin(np.arange(32) / 3 + generator.uniform(0, 6, size=(16, 1, 1, 1)))
    clean = np.broadcast_to(bands, (16, 2, *SHAPE)).astype("float32")
    pretrainer = compiled(**IN_A_GRAPH)
    history = pretrainer.fit({"clean": clean}, batch_size=4, epochs=50, verbose=0).history
    assert history["reconstruction_loss"][-1] < 0.75 * history["reconstruction_loss"][0]
    losses = {"loss", "global_loss", "local_loss", "reconstruction_loss"}
    entropies = {"teacher_class_entropy", "teacher_patch_entropy"}
    assert set(history) == {*losses, *entropies, "non_finite_steps"}
    assert not any(history["non_finite_steps"])


@pytest.mark.slow
def test_fits_a_tf_data_dataset():
    dataset = tf.data.Dataset.from_tensor_slices({"clean": batch_of(8)}).batch(4)
    logs = compiled().fit(dataset, validation_data=dataset, verbose=0).history
    assert all(np.isfinite(value).all() for value in logs.values())
    assert "val_global_loss" in logs


def test_an_epoch_is_one_pass_over_the_data():
    passes = []

    def views():
        passes.append(1)
        yield from batch_of(4).reshape(2, 2, 2, *SHAPE)

    signature = {"clean": tf.TensorSpec((2, 2, *SHAPE), tf.float32)}
    dataset = tf.data.Dataset.from_generator(
        lambda: ({"clean": batch} for batch in views()), output_signature=signature
    )
    pretrainer = compiled()
    pretrainer.fit(dataset, shuffle=False, verbose=0)
    assert len(passes) == 1


@pytest.mark.slow
def test_the_end_of_the_data_is_no_step():
    # TensorFlow learns only by asking for a batch in vain that there are no more.
    views = tf.data.Dataset.from_tensor_slices({"clean": batch_of(8)}).batch(4, True)
    dataset = views.filter(lambda batch: True)
    pretrainer = compiled(**IN_A_GRAPH)
    with pytest.warns(UserWarning, match="ran out of data"):
        logs = pretrainer.fit(dataset, epochs=2, shuffle=False, verbose=0).history
    assert int(pretrainer.step) == int(pretrainer.optimizer.iterations) == 4
    total = logs["global_loss"][1] + logs["local_loss"][1] + 2 * logs["reconstruction_loss"][1]
    assert logs["loss"][1] == pytest.approx(total, rel=1e-5)
    state = ops.convert_to_numpy(pretrainer.masking.seed_generator.state)
    again = compiled(**IN_A_GRAPH)
    again.fit({"clean": batch_of(8)}, batch_size=4, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(state, ops.convert_to_numpy(again.masking.seed_generator.state))


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() == "torch", reason="PyTorch runs step by step")
def test_several_steps_per_execution_are_the_same_steps():
    one, two = compiled(**IN_A_GRAPH), compiled(**IN_A_GRAPH, steps_per_execution=2)
    two.set_weights(one.get_weights())
    data = {"clean": batch_of(8)}
    for pretrainer in (one, two):
        # Stochastic depth has a random generator of its own in each.
        for block in pretrainer.backbone.transformer_blocks:
            block.drop_path_rate = 0.0
        pretrainer.fit(data, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(weights_of(one.teacher), weights_of(two.teacher)):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert int(two.step) == 2


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="compiles by default elsewhere")
def test_runs_with_xla():
    pretrainer = compiled(run_eagerly=False, jit_compile=True)
    logs = pretrainer.fit({"clean": batch_of()}, verbose=0).history
    assert np.isfinite(logs["loss"][0])


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_trains_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        pretrainer = compiled(**IN_A_GRAPH)
    finally:
        keras.config.set_dtype_policy("float32")
    assert pretrainer.backbone.compute_dtype == policy.removeprefix("mixed_")
    is_scaled = isinstance(pretrainer.optimizer, keras.optimizers.LossScaleOptimizer)
    assert is_scaled == (policy == "mixed_float16")
    before = weights_of(pretrainer.student)
    # The scale of the loss is halved, and a step left out, until no gradient overflows.
    logs = pretrainer.fit({"clean": batch_of()}, epochs=16, verbose=0).history
    assert all(np.isfinite(value).all() for value in logs.values())
    assert is_scaled or int(pretrainer.step) == 16
    assert any((a != b).any() for a, b in zip(before, weights_of(pretrainer.student)))


def test_the_loss_is_scaled_in_half_precision():
    pretrainer = build(dtype="mixed_float16")
    pretrainer.compile(AdamW(1e-3))
    assert isinstance(pretrainer.optimizer, keras.optimizers.LossScaleOptimizer)
    pretrainer.compile(AdamW(1e-3), auto_scale_loss=False)
    assert isinstance(pretrainer.optimizer, AdamW)


def test_losses_are_not_to_be_chosen():
    with pytest.raises(ValueError, match="loss_weight"):
        compiled(loss="mse")


@pytest.mark.parametrize("name", ["teacher_momentum", "teacher_temperature"])
def test_numbers_out_of_range_are_errors(name):
    with pytest.raises(ValueError, match=name):
        compiled(**{name: -0.1})


@pytest.mark.parametrize("name", ["teacher_momentum", "teacher_temperature"])
def test_a_schedule_that_starts_out_of_range_is_an_error(name):
    with pytest.raises(ValueError, match=name):
        compiled(**{name: PolynomialDecay(-1.0, 10, 0.5)})


def test_teacher_moves_towards_the_updated_student():
    pretrainer = compiled(teacher_momentum=0.75)
    before = weights_of(pretrainer.teacher)
    pretrainer.train_on_batch({"clean": batch_of()})
    for old, new, student in zip(
        before, weights_of(pretrainer.teacher), weights_of(pretrainer.student)
    ):
        np.testing.assert_allclose(new, 0.75 * old + 0.25 * student, atol=1e-6)


def test_teacher_waits_while_gradients_accumulate():
    pretrainer = build()
    pretrainer.compile(
        AdamW(1e-2, gradient_accumulation_steps=2), teacher_momentum=0.5, run_eagerly=EAGERLY
    )
    before = weights_of(pretrainer.teacher)
    pretrainer.train_on_batch({"clean": batch_of()})
    assert int(pretrainer.step) == 0
    for old, new in zip(before, weights_of(pretrainer.teacher)):
        np.testing.assert_array_equal(old, new)
    pretrainer.train_on_batch({"clean": batch_of()})
    assert int(pretrainer.step) == 1
    assert any((a != b).any() for a, b in zip(before, weights_of(pretrainer.teacher)))


@pytest.mark.slow
def test_momentum_and_temperature_follow_their_schedules():
    pretrainer = compiled(
        teacher_momentum=WarmupCosine(1.0, 0.0, total_steps=2),
        teacher_temperature=PolynomialDecay(0.04, 2, 0.08),
    )
    before = weights_of(pretrainer.teacher)
    pretrainer.train_on_batch({"clean": batch_of()})
    for old, new in zip(before, weights_of(pretrainer.teacher)):
        np.testing.assert_allclose(new, old, atol=1e-7)
    values = pretrainer.schedule_values()
    assert values["teacher_momentum"] == pytest.approx(0.5)
    assert values["teacher_temperature"] == pytest.approx(0.06)
    assert values["weight_decay"] == pytest.approx(0.04)


# Keras's own XLA of TensorFlow takes long.
HOW_TO_RUN = [
    {"run_eagerly": EAGERLY},
    pytest.param({"run_eagerly": False}, marks=pytest.mark.slow),
]
# Adam divides a gradient by its size: where that is as small as rounding, rounding is all there is.
STEADY = {"weight_decay": 0.04, "clipnorm": 3.0, "epsilon": 1e-3}


def train_alike(how, *, accumulate=1, **kwargs):
    """Return the logs of three steps, and the weights after them."""
    keras.utils.set_random_seed(1)
    pretrainer = build(**kwargs)
    optimizer = AdamW(1e-3, **STEADY)
    pretrainer.compile(optimizer, teacher_momentum=0.9, accumulate=accumulate, **how)
    data = {"clean": batch_of(12), "short": batch_of(12, 3, (16, 32))}
    logs = pretrainer.fit(data, batch_size=4, verbose=0).history
    assert ops.convert_to_numpy(pretrainer.step) == 3
    return logs, weights_of(pretrainer)


def assert_equal(one, other, atol):
    for name, value in one[0].items():
        np.testing.assert_allclose(value, other[0][name], rtol=atol, atol=atol, err_msg=name)
    for value, other_value in zip(one[1], other[1]):
        np.testing.assert_allclose(value, other_value, rtol=0, atol=atol)


@pytest.mark.parametrize("how", HOW_TO_RUN)
def test_rematerialization_changes_no_number(how):
    plain, rematerialized = (
        train_alike(how, drop_path_rate=0.5, rematerialize=choice) for choice in (False, True)
    )
    assert_equal(plain, rematerialized, 1e-6)


@pytest.mark.parametrize("how", HOW_TO_RUN)
def test_a_batch_in_parts_is_learned_from_as_the_whole(how):
    whole, parts = (train_alike(how, drop_path_rate=0.0, accumulate=number) for number in (1, 2))
    assert_equal(whole, parts, 1e-5)


needs_strategies = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="tf.distribute.Strategy"
)


@needs_strategies
def test_a_strategy_of_one_replica_learns_in_parts():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        parts = train_alike({"run_eagerly": False}, drop_path_rate=0.0, accumulate=2)
    whole = train_alike({"jit_compile": False, "run_eagerly": False}, drop_path_rate=0.0)
    assert_equal(whole, parts, 1e-5)


@needs_strategies
@pytest.mark.parametrize("how", [{"accumulate": 2}, {"skip_non_finite": True}])
def test_float16_with_parts_or_skipped_steps_is_refused_under_a_strategy(how, monkeypatch):
    pretrainer = build(dtype="mixed_float16")
    monkeypatch.setattr("keras_asit.models.pretraining_trainer.num_replicas", lambda: 2)
    with pytest.raises(ValueError, match="Under a strategy of TensorFlow, float16 trains without"):
        pretrainer.compile("adam", **how)


def test_parts_are_equal():
    pretrainer = compiled(accumulate=3)
    with pytest.raises(ValueError, match="in 3 parts of the same size"):
        pretrainer.train_on_batch({"clean": batch_of()})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "accumulate"), [("mixed_bfloat16", 1), ("mixed_float16", 1), ("mixed_float16", 2)]
)
def test_half_precision_learns_as_full_precision(dtype, accumulate):
    losses = []
    for each in ("float32", dtype):
        keras.utils.set_random_seed(1)
        pretrainer = build(dtype=each)
        optimizer = AdamW(1e-3, weight_decay=0.04, clipnorm=3.0)
        if each == "mixed_float16":
            # At Keras's own first scale, steps overflow and are skipped until a lower one is found.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=4.0)
        pretrainer.compile(
            optimizer,
            teacher_momentum=0.996,
            teacher_temperature=0.04,
            accumulate=accumulate if each == dtype else 1,
            **IN_A_GRAPH,
        )
        data = {"clean": batch_of(40)}
        logs = pretrainer.fit(data, batch_size=4, epochs=5, shuffle=False, verbose=0).history
        assert int(pretrainer.step) == 50
        losses.append(logs["loss"][-1])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)


@pytest.fixture
def spoiled():
    """A batch with a sample that is not finite."""
    batch = batch_of()
    batch[1, 0, 3, 4] = np.inf
    return {"clean": batch}


def test_a_step_that_is_not_finite_is_counted(spoiled):
    pretrainer = compiled()
    logs = pretrainer.train_on_batch(spoiled, return_dict=True)
    assert logs["non_finite_steps"] == 1


def test_a_step_that_is_not_finite_can_be_skipped_as_if_it_had_not_been(spoiled):
    pretrainer = compiled(skip_non_finite=True)
    good = {"clean": batch_of()}
    pretrainer.train_on_batch(good)
    pretrainer.reset_metrics()
    before = weights_of(pretrainer)
    optimizer = [np.copy(ops.convert_to_numpy(v)) for v in pretrainer.optimizer.variables]
    logs = pretrainer.train_on_batch(spoiled, return_dict=True)
    assert logs["non_finite_steps"] == 1
    for old, new in zip(before, weights_of(pretrainer)):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(optimizer, pretrainer.optimizer.variables):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))
    batches = {"clean": np.concatenate([spoiled["clean"], good["clean"]])}
    logs = pretrainer.fit(batches, batch_size=4, shuffle=False, verbose=0).history
    assert np.isfinite(logs["loss"]) and logs["non_finite_steps"] == [1]
    assert int(pretrainer.step) == 2


@pytest.mark.slow
def test_a_loaded_pretrainer_goes_on_as_if_it_had_never_stopped(tmp_path):
    pretrainer = build()
    pretrainer.compile(
        AdamW(
            WarmupCosine(1e-3, 0.0, 20, warmup_steps=2), weight_decay=WarmupCosine(0.04, 0.4, 20)
        ),
        teacher_momentum=WarmupCosine(0.9, 1.0, 20),
        teacher_temperature=PolynomialDecay(0.04, 10, 0.07),
    )
    data = {"clean": batch_of(8)}
    pretrainer.fit(data, batch_size=4, verbose=0)
    pretrainer.save(tmp_path / "pretrainer.keras")
    loaded = keras.saving.load_model(tmp_path / "pretrainer.keras")
    histories = [
        model.fit(data, batch_size=4, shuffle=False, verbose=0).history
        for model in (pretrainer, loaded)
    ]
    # Masks and stochastic depth go on too: the losses are the same, not only alike.
    assert histories[0] == histories[1]
