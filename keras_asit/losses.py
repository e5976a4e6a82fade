"""The losses of ASiT's pre-training."""

import keras
from keras import ops

from keras_asit._arguments import arguments_of, check_choice, check_integers, check_number
from keras_asit.replicas import mean_over_replicas

__all__ = ["DistillationLoss", "MaskedReconstructionLoss"]


@keras.saving.register_keras_serializable(package="keras_asit")
class DistillationLoss(keras.layers.Layer):
    """Self-distillation loss with a running center of the teacher's logits.

    The loss is the mean cross-entropy between softmax((teacher - center) / temperature) and
    log-softmax(student / student_temperature). After a loss in training, the center, state of this
    layer, moves to the mean of the teacher's logits over the whole batch, of all replicas.

    Args:
        num_prototypes: int. Number of logits.
        views: str. `"other"` compares each teacher view with every other student view, as for
            [CLS] (those beyond the teacher's are short crops); `"same"` with the same student
            view, as for patches. Defaults to `"other"`.
        student_temperature: float. Defaults to `0.1`.
        center_momentum: float in [0, 1]. Defaults to `0.9`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        teacher_logits: `(batch, teacher views, ..., num_prototypes)`.
        student_logits: `(batch, student views, ..., num_prototypes)`.
        temperature: float or scalar tensor. The teacher's temperature.
        training: bool. Whether to update the center.

    Example:
    ```python
    loss = keras_asit.losses.DistillationLoss(num_prototypes=64)
    teacher, student = keras.random.normal((2, 8, 2, 64))
    value = loss(teacher, student, temperature=0.04, training=True)
    ```

    Reference: Caron et al., "DINO", arXiv 2104.14294, section 3.1; Atito et al., "ASiT", arXiv
    2211.13189, section III.
    """

    def __init__(
        self,
        num_prototypes: int,
        views: str = "other",
        *,
        student_temperature: float = 0.1,
        center_momentum: float = 0.9,
        **kwargs,
    ):
        # A loss is computed in float32 whatever the precision of the networks.
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_integers(1, num_prototypes=num_prototypes)
        check_choice("views", views, ("other", "same"))
        check_number("student_temperature", student_temperature, 1e-6)
        check_number("center_momentum", center_momentum, 0, 1)
        self.num_prototypes = num_prototypes
        self.views = views
        self.student_temperature = student_temperature
        self.center_momentum = center_momentum
        # Every replica computes the same mean, so any of them may write it.
        state = {"trainable": False, "aggregation": "only_first_replica"}
        self.center = self.add_weight(
            name="center", shape=(num_prototypes,), initializer="zeros", **state
        )
        self.built = True

    def call(self, teacher_logits, student_logits, temperature, *, training=False):
        if not ops.is_tensor(temperature):
            check_number("temperature", temperature, 1e-6)
        self._check_views(teacher_logits.shape, student_logits.shape)
        teacher_logits = ops.stop_gradient(teacher_logits)
        targets = ops.softmax(self._sharpen(teacher_logits, temperature), axis=-1)
        log_probabilities = ops.log_softmax(student_logits / self.student_temperature, axis=-1)
        if self.views == "other":  # The mean over all student views but that of the teacher's.
            total = ops.sum(log_probabilities, axis=1, keepdims=True)
            log_probabilities = total - log_probabilities[:, : targets.shape[1]]
            log_probabilities = log_probabilities / (student_logits.shape[1] - 1)
        loss = -ops.mean(ops.sum(targets * log_probabilities, axis=-1))
        if training:
            axes = tuple(range(len(teacher_logits.shape) - 1))
            mean = mean_over_replicas(ops.mean(teacher_logits, axis=axes))
            momentum = self.center_momentum
            self.center.assign(self.center * momentum + mean * (1 - momentum))
        return loss

    def teacher_entropy(self, teacher_logits, temperature):
        """Return the mean entropy of the teacher's distributions in nats, before an update."""
        logits = self._sharpen(ops.cast(teacher_logits, "float32"), temperature)
        targets, log_targets = ops.softmax(logits, axis=-1), ops.log_softmax(logits, axis=-1)
        return -ops.mean(ops.sum(targets * log_targets, axis=-1))

    def _sharpen(self, teacher_logits, temperature):
        # Not a view of the center, which an update may overwrite in place.
        return (teacher_logits - ops.convert_to_tensor(self.center)) / temperature

    def _check_views(self, teacher, student):
        teacher, student = tuple(teacher), tuple(student)
        if not (
            len(teacher) == len(student) >= 3
            and (None in (teacher[0], student[0]) or teacher[0] == student[0])
            and teacher[2:] == student[2:]
            and teacher[-1] == self.num_prototypes
            and (teacher[1] == student[1] or self.views == "other")
            and (2 <= teacher[1] <= student[1] or self.views == "same")
        ):
            raise ValueError(
                f"With views={self.views!r} and num_prototypes={self.num_prototypes}, logits "
                "must have shape (batch, views, ..., num_prototypes), with at least two teacher "
                "views and as many student views or more for 'other', equally many for 'same'. "
                f"Received: teacher_logits.shape={teacher}, student_logits.shape={student}"
            )

    def compute_output_shape(self, *args, **kwargs):
        return ()

    def get_config(self):
        return {**super().get_config(), **arguments_of(DistillationLoss, self)}


@keras.saving.register_keras_serializable(package="keras_asit")
class MaskedReconstructionLoss(keras.losses.Loss):
    """Mean absolute error over masked pixels only; 0 where nothing is masked.

    Of several replicas or parts of a batch, which may have more or fewer pixels masked, the mean of
    their losses is that over the masked pixels of the whole batch: `mean_weight` is the mean of its
    mask, by default that over all replicas.

    Args:
        reduction: str. Defaults to `"mean_with_sample_weight"`, the mean over masked pixels.
        **kwargs: Arguments of `keras.losses.Loss`, such as `name`.

    Call arguments:
        y_true, y_pred, sample_weight: the clean spectrograms, `(..., frames, mels)`, their
            reconstruction, and the mask, 1 where the input was corrupted.

    Example:
    ```python
    loss = keras_asit.losses.MaskedReconstructionLoss()
    clean, reconstruction = keras.random.normal((2, 8, 592, 128))
    value = loss(clean, reconstruction, sample_weight=keras.ops.ones((8, 592, 128)))
    ```

    Reference: Atito et al., "ASiT", arXiv 2211.13189, section III.
    """

    def __init__(
        self, reduction="mean_with_sample_weight", name="masked_reconstruction_loss", **kwargs
    ):
        super().__init__(reduction=reduction, name=name, **kwargs)

    def __call__(self, y_true, y_pred, sample_weight=None, *, mean_weight=None):
        shapes = [tuple(x.shape) for x in (y_true, y_pred, sample_weight) if x is not None]
        batches = {shape[0] for shape in shapes} - {None}
        if len({shape[1:] for shape in shapes}) > 1 or len(batches) > 1:
            raise ValueError(
                "Spectrograms, their reconstruction and the mask must have the same shape. "
                f"Received: {', '.join(map(str, shapes))}"
            )
        loss = super().__call__(y_true, y_pred, sample_weight)
        if sample_weight is None:
            return loss
        weight = ops.mean(ops.cast(sample_weight, "float32"))
        mean_weight = mean_over_replicas(weight) if mean_weight is None else mean_weight
        if mean_weight is weight:
            return loss
        return loss * ops.cast(ops.divide_no_nan(weight, mean_weight), loss.dtype)

    def call(self, y_true, y_pred):
        return ops.abs(y_true - y_pred)
