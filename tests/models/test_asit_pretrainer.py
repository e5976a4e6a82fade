"""Pre-training: parity with the original code, the teacher, batches, saving, precision."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from golden_model import build_reference_pretrainer
from golden_weights import read_network
from keras import ops

from keras_asit.layers import GroupMasking
from keras_asit.models import (
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTPretrainer,
    pretraining_recipe,
)
from keras_asit.models.pretraining_batch import frames_of_waveforms
from keras_asit.optimizers import AdamW
from keras_asit.schedules import LinearRamp, WarmupCosine

SHAPE = (32, 32)
# Tracing takes longer than a step or two; JAX and PyTorch have no such thing or need it.
EAGERLY = keras.config.backend() == "tensorflow"


class Table(keras.optimizers.schedules.LearningRateSchedule):
    """The values of a list, one a step."""

    def __init__(self, values):
        super().__init__()
        self.values = [float(value) for value in values]

    def __call__(self, step):
        return ops.take(ops.convert_to_tensor(self.values, "float32"), ops.cast(step, "int32"))

    def get_config(self):
        return {"values": self.values}


def build(masking_seed=1, dtype=None, **kwargs):
    backbone = ASiTBackbone(
        SHAPE, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, drop_path_rate=0.1, dtype=dtype
    )
    sizes = {
        "num_class_prototypes": 24,
        "num_patch_prototypes": 16,
        "projection_hidden_dim": 32,
        "projection_bottleneck_dim": 8,
        "reconstruction_hidden_dim": 32,
        "reconstruction_bottleneck_dim": 16,
    }
    masking = GroupMasking(seed=masking_seed, dtype="float32")
    return ASiTPretrainer(backbone, **{"masking": masking, **sizes, **kwargs})


def compiled(pretrainer=None, **kwargs):
    pretrainer = build() if pretrainer is None else pretrainer
    # TensorFlow's XLA takes longer to compile than these tests take to run; it has its own test.
    kwargs.setdefault("jit_compile", keras.config.backend() == "jax")
    pretrainer.compile(AdamW(1e-3, weight_decay=0.04, clipnorm=3.0), **kwargs)
    return pretrainer


def batch_of(clips=4, views=2, shape=SHAPE, seed=1):
    views = np.random.default_rng(seed).normal(size=(clips, views, *shape))
    return views.astype("float32")


def weights_of(layer):
    return [np.copy(ops.convert_to_numpy(weight)) for weight in layer.weights]


# --- The original code ---


def test_six_steps_equal_those_of_the_original_code(golden_trajectory):
    golden = golden_trajectory
    pretrainer = build_reference_pretrainer(golden)
    temperatures = np.append(np.linspace(0.04, 0.07, 2), [0.07] * 4)[golden["epoch"]]
    pretrainer.compile(
        AdamW(Table(golden["lr"]), weight_decay=Table(golden["weight_decay"]), clipnorm=3.0),
        teacher_momentum=Table(golden["teacher_momentum"]),
        teacher_temperature=Table(temperatures),
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


def test_logits_and_reconstruction_equal_those_of_the_original_code(
    golden_forward, golden_trajectory
):
    student = build_reference_pretrainer(golden_trajectory).student
    outputs = student(golden_forward["corrupted"])
    for output, name in zip(outputs, ("cls", "data", "reconstruction")):
        np.testing.assert_allclose(
            ops.convert_to_numpy(output), golden_forward[name], rtol=0, atol=1e-5
        )


# --- Learning ---


@pytest.mark.slow
def test_learns_to_reconstruct_simple_spectrograms():
    generator = np.random.default_rng(1)
    bands = np.sin(np.arange(32) / 3 + generator.uniform(0, 6, size=(16, 1, 1, 1)))
    clean = np.broadcast_to(bands, (16, 2, *SHAPE)).astype("float32")
    pretrainer = compiled()
    history = pretrainer.fit({"clean": clean}, batch_size=4, epochs=50, verbose=0).history
    assert history["reconstruction_loss"][-1] < 0.75 * history["reconstruction_loss"][0]
    losses = {"loss", "global_loss", "local_loss", "reconstruction_loss"}
    assert set(history) == {*losses, "non_finite_steps"}
    assert not any(history["non_finite_steps"])


def test_loss_is_the_weighted_sum_of_three():
    pretrainer = compiled(
        build(global_loss_weight=0.25, local_loss_weight=0.5, reconstruction_loss_weight=4.0)
    )
    logs = pretrainer.evaluate({"clean": batch_of()}, verbose=0, return_dict=True)
    expected = (
        0.25 * logs["global_loss"] + 0.5 * logs["local_loss"] + 4 * logs["reconstruction_loss"]
    )
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


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
    pretrainer = compiled(run_eagerly=EAGERLY, steps_per_epoch=2)
    pretrainer.fit(dataset, shuffle=False, verbose=0)
    assert len(passes) == 1


@pytest.mark.slow
def test_the_end_of_the_data_is_no_step():
    # TensorFlow learns only by asking for a batch in vain that there are no more.
    views = tf.data.Dataset.from_tensor_slices({"clean": batch_of(8)}).batch(4, True)
    dataset = views.filter(lambda batch: True)
    pretrainer = compiled()
    with pytest.warns(UserWarning, match="ran out of data"):
        logs = pretrainer.fit(dataset, epochs=2, shuffle=False, verbose=0).history
    assert int(pretrainer.step) == int(pretrainer.optimizer.iterations) == 4
    total = logs["global_loss"][1] + logs["local_loss"][1] + 2 * logs["reconstruction_loss"][1]
    assert logs["loss"][1] == pytest.approx(total, rel=1e-5)
    state = ops.convert_to_numpy(pretrainer.masking.seed_generator.state)
    again = compiled()
    again.fit({"clean": batch_of(8)}, batch_size=4, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(state, ops.convert_to_numpy(again.masking.seed_generator.state))


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() == "torch", reason="PyTorch runs step by step")
def test_several_steps_per_execution_are_the_same_steps():
    one, two = compiled(), compiled(steps_per_execution=2)
    two.set_weights(one.get_weights())
    data = {"clean": batch_of(8)}
    for pretrainer in (one, two):
        # Stochastic depth has a random generator of its own in each.
        for block in pretrainer.backbone.transformer_blocks:
            block.drop_path.rate = 0.0
        pretrainer.fit(data, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(weights_of(one.teacher), weights_of(two.teacher)):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert int(two.step) == 2


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="compiles by default elsewhere")
@pytest.mark.parametrize(
    "jit_compile", [pytest.param(True, marks=pytest.mark.slow), pytest.param(False)]
)
def test_runs_with_and_without_xla(jit_compile):
    logs = compiled(jit_compile=jit_compile).fit({"clean": batch_of()}, verbose=0).history
    assert np.isfinite(logs["loss"][0])


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_trains_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        pretrainer = compiled()
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


# --- The teacher ---


def test_teacher_starts_as_the_student():
    pretrainer = build()
    for a, b in zip(weights_of(pretrainer.teacher), weights_of(pretrainer.student)):
        np.testing.assert_array_equal(a, b)


def test_teacher_is_never_trained_by_gradients():
    pretrainer = build()
    teacher = {id(variable) for variable in pretrainer.teacher.variables}
    for trainable in (True, False, True):
        pretrainer.trainable = trainable
        assert not any(id(v) in teacher for v in pretrainer.trainable_variables)
    assert pretrainer.trainable_variables


def test_whatever_is_set_trainable_the_teacher_is_not():
    pretrainer = build()
    number = len(pretrainer.trainable_variables)
    pretrainer.trainable = False
    assert pretrainer.trainable_variables == []
    pretrainer.trainable = True
    for layer in pretrainer.layers:
        layer.trainable = True
    assert len(pretrainer.trainable_variables) == number
    assert pretrainer.teacher.trainable_variables == []


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
        teacher_temperature=LinearRamp(0.04, 0.08, ramp_steps=2),
    )
    before = weights_of(pretrainer.teacher)
    pretrainer.train_on_batch({"clean": batch_of()})
    for old, new in zip(before, weights_of(pretrainer.teacher)):
        np.testing.assert_allclose(new, old, atol=1e-7)
    values = pretrainer.schedule_values()
    assert values["teacher_momentum"] == pytest.approx(0.5)
    assert values["teacher_temperature"] == pytest.approx(0.06)
    assert values["weight_decay"] == pytest.approx(0.04)


def test_evaluation_changes_neither_weights_nor_centers():
    pretrainer = compiled()
    before = weights_of(pretrainer)
    pretrainer.evaluate({"clean": batch_of()}, verbose=0)
    for a, b in zip(before, weights_of(pretrainer)):
        np.testing.assert_array_equal(a, b)


# --- Losses that are not finite ---


@pytest.fixture
def spoilt():
    """A batch with a sample that is not finite."""
    batch = batch_of()
    batch[1, 0, 3, 4] = np.inf
    return {"clean": batch}


def test_a_step_that_is_not_finite_is_counted(spoilt):
    pretrainer = compiled(jit_compile=False, run_eagerly=EAGERLY)
    logs = pretrainer.train_on_batch(spoilt, return_dict=True)
    assert logs["non_finite_steps"] == 1


def test_a_step_that_is_not_finite_can_be_skipped_as_if_it_had_not_been(spoilt):
    pretrainer = compiled(skip_non_finite=True, jit_compile=False, run_eagerly=EAGERLY)
    good = {"clean": batch_of()}
    pretrainer.train_on_batch(good)
    pretrainer.reset_metrics()
    before = weights_of(pretrainer)
    optimizer = [np.copy(ops.convert_to_numpy(v)) for v in pretrainer.optimizer.variables]
    logs = pretrainer.train_on_batch(spoilt, return_dict=True)
    assert logs["non_finite_steps"] == 1
    for old, new in zip(before, weights_of(pretrainer)):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(optimizer, pretrainer.optimizer.variables):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))
    batches = {"clean": np.concatenate([spoilt["clean"], good["clean"]])}
    logs = pretrainer.fit(batches, batch_size=4, shuffle=False, verbose=0).history
    assert np.isfinite(logs["loss"]) and logs["non_finite_steps"] == [1]
    assert int(pretrainer.step) == 2


# --- Batches ---


def test_given_masks_are_used_as_they_are():
    clean, mask = batch_of(), np.zeros((4, 2, *SHAPE), "float32")
    mask[..., :16, :] = 1
    outputs = build()({"clean": clean, "corrupted": clean - mask, "mask": mask})
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs["corrupted"]), clean - mask)
    np.testing.assert_array_equal(ops.convert_to_numpy(outputs["mask"]), mask)


@pytest.mark.slow
def test_second_generation_learns_from_short_crops_of_another_size():
    pretrainer = compiled(
        build(
            num_patch_prototypes=None,
            trainable_gain=True,
            global_loss_weight=0.5,
            local_loss_weight=0.5,
            reconstruction_loss_weight=1.0,
        )
    )
    batch = {"clean": batch_of(), "short": batch_of(views=3, shape=(16, 32))}
    logs = pretrainer.fit(batch, verbose=0).history
    assert all(np.isfinite(value).all() for value in logs.values())
    outputs = pretrainer(batch)
    assert outputs["student_class_logits"].shape == (4, 5, 24)
    assert outputs["student_patch_logits"].shape == (4, 2, 4, 24)


@pytest.mark.slow
def test_waveforms_become_the_spectrograms_that_the_converter_makes():
    converter = ASiTAudioConverter(num_frames=32, num_mels=32)
    pretrainer = compiled(build(converter=converter))
    waveforms = np.random.default_rng(1).uniform(-1, 1, (4, 2, 5600)).astype("float32")
    outputs = pretrainer({"clean": waveforms})
    expected = ops.convert_to_numpy(converter(waveforms[:, 1]))
    np.testing.assert_allclose(ops.convert_to_numpy(outputs["clean"])[:, 1], expected, atol=1e-4)
    logs = pretrainer.fit({"clean": waveforms}, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"clean": batch_of(views=3)}, "two views"),
        ({"clean": batch_of(shape=(48, 32))}, "spectrogram_shape"),
        ({"clean": batch_of(), "mask": batch_of()}, "both or neither"),
        ({"clean": batch_of()[:, :, 0]}, "`converter`"),
        ({"clean": batch_of(), "short": batch_of(shape=(16, 24))}, "'short' must have shape"),
        ({"clean": batch_of(), "short": batch_of(shape=(24, 32))}, "multiple of 16"),
        ({"short": batch_of()}, "must hold 'clean'"),
        ({"clean": batch_of(), "shorts": batch_of()}, "Received: \\['clean', 'shorts'\\]"),
        (batch_of(), "must be a dict"),
    ],
)
def test_a_batch_of_another_shape_is_an_error(batch, message):
    with pytest.raises(ValueError, match=message):
        build()(batch)


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
        compiled(**{name: LinearRamp(-1.0, 0.5, ramp_steps=10)})


# --- The paper's recipe ---


def unknown_number_of_batches():
    dataset = tf.data.Dataset.from_tensor_slices({"clean": batch_of(8)})
    return dataset.batch(4, drop_remainder=True).filter(lambda _: True)


def test_the_recipe_is_that_of_the_paper():
    recipe = pretraining_recipe(steps_per_epoch=10, batch_size=512, epochs=100)
    optimizer = recipe["optimizer"]
    assert isinstance(optimizer, AdamW) and optimizer.clipnorm == 3
    config = optimizer.get_config()
    schedules = {
        "learning_rate": keras.optimizers.schedules.deserialize(config["learning_rate"]),
        "weight_decay": keras.optimizers.schedules.deserialize(config["weight_decay"]),
        **{name: recipe[name] for name in ("teacher_momentum", "teacher_temperature")},
    }
    expected = {  # At the first step, after 10 epochs, after 30, after 55 and at the end.
        "learning_rate": [0, 1e-3, None, (1e-3 + 1e-6) / 2, 1e-6],
        "weight_decay": [0.04, None, None, None, 0.4],
        "teacher_momentum": [0.996, None, None, None, 1],
        "teacher_temperature": [0.04, 0.05, 0.07, 0.07, 0.07],
    }
    for name, values in expected.items():
        for step, value in zip((0, 100, 300, 550, 1000), values):
            if value is not None:
                assert float(schedules[name](step)) == pytest.approx(value, rel=1e-4, abs=1e-9)
    assert float(schedules["weight_decay"](500)) == pytest.approx(0.22)
    assert float(schedules["teacher_momentum"](500)) == pytest.approx(0.998)


def test_compiled_without_arguments_fit_follows_the_recipe_and_a_second_fit_goes_on():
    pretrainer = build()
    pretrainer.compile(run_eagerly=EAGERLY)
    assert pretrainer.optimizer is None
    data = {"clean": batch_of(8)}
    pretrainer.fit(data, batch_size=4, epochs=2, verbose=0)
    recipe = pretraining_recipe(steps_per_epoch=2, batch_size=4, epochs=2)
    rate = keras.optimizers.schedules.deserialize(recipe["optimizer"].get_config()["learning_rate"])
    for steps in (4, 6):
        assert int(pretrainer.step) == steps
        values = pretrainer.schedule_values()
        assert values["learning_rate"] == pytest.approx(float(rate(steps)))
        assert values["weight_decay"] == pytest.approx(0.4)
        assert values["teacher_momentum"] == pytest.approx(1)
        expected = recipe["teacher_temperature"](steps)
        assert values["teacher_temperature"] == pytest.approx(float(expected))
        pretrainer.fit(data, batch_size=4, epochs=1, verbose=0)


def test_what_compile_is_given_wins_over_the_recipe():
    pretrainer = build()
    pretrainer.compile("adamw", teacher_momentum=0.5)
    assert type(pretrainer.optimizer) is keras.optimizers.AdamW
    pretrainer.use_recipe({"clean": batch_of(8)}, epochs=3, batch_size=4)
    assert type(pretrainer.optimizer) is keras.optimizers.AdamW
    assert pretrainer.teacher_momentum == 0.5
    assert pretrainer.teacher_temperature.ramp_steps == 30 * 2


def test_the_recipe_takes_sizes_from_the_data_or_from_compile():
    def sizes(data, *, compiled_with=(), **kwargs):
        pretrainer = build()
        pretrainer.compile(**dict(compiled_with))
        pretrainer.use_recipe(data, epochs=10, **kwargs)
        rate = pretrainer.optimizer.get_config()["learning_rate"]["config"]
        return rate["total_steps"] // 10, rate["start"] * 256 / 5e-4

    clean = {"clean": batch_of(10)}
    known = tf.data.Dataset.from_tensor_slices(clean).batch(4, drop_remainder=True)
    assert sizes(clean) == (1, 32)
    assert sizes(clean, batch_size=4) == (3, 4)
    assert sizes(known) == (2, 4)
    assert sizes(known.repeat(), steps_per_epoch=5) == (5, 4)
    unknown = unknown_number_of_batches()
    assert sizes(unknown, compiled_with={"steps_per_epoch": 7}) == (7, 4)
    known = tf.data.Dataset.from_tensor_slices(clean).batch(4)
    assert sizes(known, compiled_with={"batch_size": 4}) == (3, 4)


def test_where_the_recipe_lacks_sizes_it_says_so():
    pretrainer = build()
    pretrainer.compile()
    message = r"compile\(steps_per_epoch=..., batch_size=...\).*steps_per_epoch=None, batch_size=4"
    with pytest.raises(ValueError, match=message):
        pretrainer.fit(unknown_number_of_batches())
    with pytest.raises(ValueError, match="call `fit`, or compile with"):
        pretrainer.train_on_batch({"clean": batch_of()})
    with pytest.raises(ValueError, match="`steps_per_epoch` must be a positive integer"):
        pretrainer.compile(steps_per_epoch=0)


def test_a_recipe_that_waits_for_fit_is_saved_as_such(tmp_path):
    pretrainer = build()
    pretrainer.compile(teacher_momentum=0.5, steps_per_epoch=7)
    pretrainer.save(tmp_path / "pretrainer.keras")
    loaded = keras.saving.load_model(tmp_path / "pretrainer.keras")
    assert loaded.optimizer is None
    loaded.use_recipe(unknown_number_of_batches(), epochs=2)
    assert loaded.optimizer.get_config()["learning_rate"]["config"]["total_steps"] == 14
    assert loaded.teacher_momentum == 0.5


def test_the_loss_is_scaled_in_half_precision():
    pretrainer = build(dtype="mixed_float16")
    pretrainer.compile(AdamW(1e-3))
    assert isinstance(pretrainer.optimizer, keras.optimizers.LossScaleOptimizer)
    pretrainer.compile(AdamW(1e-3), auto_scale_loss=False)
    assert isinstance(pretrainer.optimizer, AdamW)


@pytest.mark.parametrize("change", [lambda b: b.enable_lora(2), lambda b: b.quantize("int8")])
def test_a_backbone_of_fewer_trainable_weights_is_refused(change):
    backbone = ASiTBackbone(SHAPE, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    change(backbone)
    with pytest.raises(ValueError, match="low-rank adaptation, or quantized, cannot be"):
        ASiTPretrainer(backbone)


def test_waveforms_of_no_usable_length_are_named():
    converter = ASiTAudioConverter(num_frames=32, num_mels=32)
    pretrainer = build(converter=converter)
    with pytest.raises(ValueError, match="'clean' must have waveforms of at least 16 frames"):
        pretrainer({"clean": np.zeros((4, 2, 2000), "float32")})
    with pytest.raises(ValueError, match="'clean' must have waveforms of a length that is known"):
        frames_of_waveforms("clean", (None, 2, None), converter, 16)


def test_masking_must_be_group_masking():
    with pytest.raises(ValueError, match="`masking` must be a GroupMasking"):
        build(masking="zeros")


def test_patches_must_tile_the_spectrogram():
    backbone = ASiTBackbone((40, 32), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    with pytest.raises(ValueError, match="tiled"):
        ASiTPretrainer(backbone)


# --- Saving ---


@pytest.mark.slow
def test_a_loaded_pretrainer_goes_on_as_if_it_had_never_stopped(tmp_path):
    pretrainer = build()
    pretrainer.compile(
        AdamW(
            WarmupCosine(1e-3, 0.0, 20, warmup_steps=2), weight_decay=WarmupCosine(0.04, 0.4, 20)
        ),
        teacher_momentum=WarmupCosine(0.9, 1.0, 20),
        teacher_temperature=LinearRamp(0.04, 0.07, 10),
    )
    data = {"clean": batch_of(8)}
    pretrainer.fit(data, batch_size=4, verbose=0)
    pretrainer.save(tmp_path / "pretrainer.keras")
    loaded = keras.saving.load_model(tmp_path / "pretrainer.keras", custom_objects={"Table": Table})
    histories = [
        model.fit(data, batch_size=4, shuffle=False, verbose=0).history
        for model in (pretrainer, loaded)
    ]
    # Masks and stochastic depth go on too: the losses are the same, not only alike.
    assert histories[0] == histories[1]


def test_weights_load_with_another_stochastic_depth(tmp_path):
    pretrainer = build()
    pretrainer.save_weights(tmp_path / "pretrainer.weights.h5")
    config = {**pretrainer.backbone.get_config(), "drop_path_rate": 0.0}
    plain = ASiTPretrainer.from_config(
        {
            **pretrainer.get_config(),
            "backbone": keras.saving.serialize_keras_object(ASiTBackbone.from_config(config)),
        }
    )
    plain.load_weights(tmp_path / "pretrainer.weights.h5")
    for weight, expected in zip(weights_of(plain), weights_of(pretrainer)):
        np.testing.assert_array_equal(weight, expected)
    plain.save_weights(tmp_path / "plain.weights.h5")
    pretrainer.load_weights(tmp_path / "plain.weights.h5")


def test_a_frozen_pretrainer_stays_frozen_when_it_is_made_anew():
    pretrainer = build(trainable=False)
    again = ASiTPretrainer.from_config(pretrainer.get_config())
    assert not again.trainable and not again.trainable_variables


@pytest.mark.parametrize("name", ["student", "teacher"])
def test_a_network_is_saved_as_a_preset_that_can_be_trained(name, tmp_path):
    pretrainer = compiled()
    pretrainer.train_on_batch({"clean": batch_of()})
    backbone = getattr(pretrainer, name).backbone
    backbone.save_to_preset(str(tmp_path))
    loaded = keras_hub.models.Backbone.from_preset(str(tmp_path))
    assert len(loaded.trainable_variables) == len(loaded.weights)
    inputs = batch_of()[:, 0]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(inputs)), ops.convert_to_numpy(backbone(inputs))
    )
