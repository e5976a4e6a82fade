"""The losses against a few lines of NumPy; the running center; what counts is what was masked."""

import keras
import numpy as np
import pytest
from harness import assert_config_round_trip, to_numpy
from keras import ops

from keras_asit.losses import DistillationLoss, MaskedReconstructionLoss


def softmax(x):
    exponential = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)


def cross_entropy(teacher, student, center, temperature, student_temperature=0.1):
    targets = softmax((teacher - center) / temperature)
    return -np.mean(np.sum(targets * np.log(softmax(student / student_temperature)), axis=-1))


def random_logits(*shape):
    return np.random.uniform(-1, 1, shape).astype("float32")


@pytest.mark.parametrize("num_crops", [0, 3])
def test_other_views_are_compared_in_every_pair_of_different_views(num_crops):
    teacher, student = random_logits(4, 2, 5), random_logits(4, 2 + num_crops, 5)
    loss = DistillationLoss(5)
    center = random_logits(5)
    loss.center.assign(center)
    pairs = [
        cross_entropy(teacher[:, i], student[:, j], center, 0.05)
        for i in range(2)
        for j in range(2 + num_crops)
        if i != j
    ]
    assert len(pairs) == 2 * (1 + num_crops)
    np.testing.assert_allclose(
        to_numpy(loss(teacher, student, temperature=0.05)), np.mean(pairs), rtol=1e-5
    )


def test_same_views_are_compared_token_by_token():
    teacher, student = random_logits(4, 2, 3, 5), random_logits(4, 2, 3, 5)
    loss = DistillationLoss(5, views="same", student_temperature=0.2)
    expected = cross_entropy(teacher, student, 0, 0.07, student_temperature=0.2)
    np.testing.assert_allclose(
        to_numpy(loss(teacher, student, temperature=0.07)), expected, rtol=1e-5
    )


def test_training_moves_the_center_towards_the_mean_of_the_teacher_after_the_loss():
    teacher, student = random_logits(4, 2, 3, 5), random_logits(4, 2, 3, 5)
    loss = DistillationLoss(5, views="same", center_momentum=0.75)
    center = random_logits(5)
    loss.center.assign(center)
    value = to_numpy(loss(teacher, student, temperature=0.05, training=True))
    np.testing.assert_allclose(value, cross_entropy(teacher, student, center, 0.05), rtol=1e-5)
    expected = 0.75 * center + 0.25 * teacher.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(to_numpy(loss.center), expected, atol=1e-6)


def test_the_entropy_is_of_the_teacher_as_it_is_centered_and_sharpened():
    teacher, center = random_logits(4, 2, 5), random_logits(5)
    loss = DistillationLoss(5)
    loss.center.assign(center)
    targets = softmax((teacher - center) / 0.3)
    expected = -np.mean(np.sum(targets * np.log(targets), axis=-1))
    assert float(loss.teacher_entropy(teacher, 0.3)) == pytest.approx(expected, rel=1e-5)
    half = ops.cast(teacher, "float16")
    assert float(loss.teacher_entropy(half, 0.3)) == pytest.approx(expected, rel=1e-2)


def test_the_entropy_shows_both_ways_to_collapse():
    loss = DistillationLoss(8)
    assert float(loss.teacher_entropy(np.zeros((2, 2, 8)), 0.04)) == pytest.approx(np.log(8))
    one = 100.0 * np.eye(8)[np.zeros((2, 2), int)]
    assert float(loss.teacher_entropy(one, 0.04)) == pytest.approx(0, abs=1e-6)


def test_the_center_stays_outside_training():
    loss = DistillationLoss(5)
    loss(random_logits(4, 2, 5), random_logits(4, 2, 5), temperature=0.05)
    assert not np.any(to_numpy(loss.center))


def test_the_center_is_not_trained():
    loss = DistillationLoss(5)
    assert loss.trainable_variables == []
    assert [variable.name for variable in loss.non_trainable_variables] == ["center"]


# Keras says so under some backends only.
@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables.*teacher")
def test_gradients_reach_the_student_and_not_the_teacher():
    class LogitsAndLoss(keras.layers.Layer):
        """Holds both logits as weights, so that any optimizer shows which of them move."""

        def build(self, input_shape):
            shape, initializer = (2, 2, 5), keras.initializers.RandomUniform(-1, 1, seed=1)
            self.teacher = self.add_weight(name="teacher", shape=shape, initializer=initializer)
            self.student = self.add_weight(shape=shape, initializer="zeros")
            self.loss = DistillationLoss(5)

        def call(self, x):
            loss = self.loss(ops.convert_to_tensor(self.teacher), self.student, temperature=0.05)
            return x + loss

    layer = LogitsAndLoss()
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.1), loss=lambda y_true, y_pred: y_pred)
    teacher, student = to_numpy(layer.teacher), to_numpy(layer.student)
    model.train_on_batch(np.zeros((2, 1)), np.zeros((2, 1)))
    np.testing.assert_array_equal(to_numpy(layer.teacher), teacher)
    assert np.all(to_numpy(layer.student) != student)


def test_the_temperature_may_be_a_tensor():
    teacher, student = random_logits(4, 2, 5), random_logits(4, 2, 5)
    loss = DistillationLoss(5)
    np.testing.assert_allclose(
        to_numpy(loss(teacher, student, temperature=ops.convert_to_tensor(0.04))),
        to_numpy(loss(teacher, student, temperature=0.04)),
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_logits_give_a_float32_loss(dtype):
    teacher, student = (ops.cast(random_logits(4, 2, 5), dtype) for _ in range(2))
    loss = DistillationLoss(5, dtype=f"mixed_{dtype}")
    value = loss(teacher, student, temperature=0.04, training=True)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert loss.center.dtype == "float32"
    np.testing.assert_allclose(
        to_numpy(value),
        cross_entropy(to_numpy(teacher), to_numpy(student)[:, ::-1], 0, 0.04),
        rtol=1e-5,
    )


def test_the_center_is_saved(tmp_path):
    loss = DistillationLoss(5)
    loss.center.assign(np.arange(5))
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model.distillation = loss
    model.save_weights(tmp_path / "model.weights.h5")
    loss.center.assign(np.zeros(5))
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(to_numpy(loss.center), np.arange(5))


def test_config_of_the_distillation_round_trips():
    assert_config_round_trip(
        DistillationLoss(5, views="same", student_temperature=0.2, center_momentum=0.5)
    )


@pytest.mark.parametrize(
    ("views", "teacher_shape", "student_shape"),
    [
        ("other", (4, 1, 5), (4, 2, 5)),
        ("other", (4, 3, 5), (4, 2, 5)),
        ("same", (4, 2, 3, 5), (4, 3, 3, 5)),
        ("same", (4, 2, 3, 6), (4, 2, 3, 6)),
        ("same", (4, 2, 1, 5), (4, 2, 3, 5)),
        ("other", (1, 2, 5), (4, 2, 5)),
        ("other", (2, 5), (2, 5)),
    ],
)
def test_logits_that_do_not_fit_are_refused(views, teacher_shape, student_shape):
    loss = DistillationLoss(5, views=views)
    with pytest.raises(ValueError, match=f"views='{views}' and num_prototypes=5"):
        loss(ops.zeros(teacher_shape), ops.zeros(student_shape), temperature=0.04)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        DistillationLoss(5)(ops.zeros((4, 2, 5)), ops.zeros((4, 2, 5)), temperature=0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_prototypes": 0}, "`num_prototypes` must be a positive integer"),
        ({"views": "both"}, "`views` must be one of 'other', 'same'"),
        ({"student_temperature": 0}, "`student_temperature` must be a number of at least"),
        ({"center_momentum": 1.5}, "`center_momentum` must be a number between 0 and 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DistillationLoss(**{"num_prototypes": 5, **arguments})


def random_views():
    return np.random.normal(size=(2, 2, 6, 4)).astype("float32")


def test_reconstruction_is_the_mean_absolute_error_over_masked_pixels():
    clean, reconstruction = random_views(), random_views()
    mask = (np.random.uniform(size=clean.shape) < 0.3).astype("float32")
    loss = to_numpy(MaskedReconstructionLoss()(clean, reconstruction, sample_weight=mask))
    expected = np.abs(clean - reconstruction)[mask == 1].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_reconstruction_is_zero_where_nothing_is_masked():
    clean = random_views()
    loss = MaskedReconstructionLoss()(clean, clean + 1, sample_weight=np.zeros_like(clean))
    assert to_numpy(loss) == 0


def test_without_a_mask_every_pixel_counts():
    clean = random_views()
    loss = MaskedReconstructionLoss()(clean, clean + 2)
    np.testing.assert_allclose(to_numpy(loss), 2, rtol=1e-5)


def test_half_precision_reconstructions_give_a_float32_loss():
    clean = random_views()
    loss = MaskedReconstructionLoss()(clean, ops.cast(clean, "bfloat16"))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"


def test_config_of_the_reconstruction_round_trips():
    loss = MaskedReconstructionLoss(reduction="sum", name="reconstruction")
    serialized = keras.losses.serialize(loss)
    assert keras.losses.serialize(keras.losses.deserialize(serialized)) == serialized


@pytest.mark.parametrize("mask_shape", [(2,), (2, 1, 5, 3), (2, 2, 5, 1)])
def test_masks_and_reconstructions_that_do_not_fit_are_refused(mask_shape):
    clean = np.zeros((2, 2, 5, 3), "float32")
    with pytest.raises(ValueError, match="must have the same shape"):
        MaskedReconstructionLoss()(clean, clean, sample_weight=np.ones(mask_shape))
    with pytest.raises(ValueError, match="must have the same shape"):
        MaskedReconstructionLoss()(clean, clean[:, :1])
    with pytest.raises(ValueError, match="must have the same shape"):
        MaskedReconstructionLoss()(clean, clean[:1])
