"""AdamW whose weight decay may follow a schedule, and learning rates that fall with depth."""

import contextlib
import numbers
from collections.abc import Sequence

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_asit._arguments import check_instance, check_number
from keras_asit.schedules import Scaled

__all__ = ["AdamW", "layerwise_decay"]

deserialize = keras.optimizers.schedules.deserialize
# TensorFlow's variables are named by their whole path and a number behind a colon.
NOT_DECAYED = r"(^|/)(bias|beta|gamma)(:\d+)?$"
RANGES = {
    **dict.fromkeys(["learning_rate", "weight_decay", "epsilon"], (0, None)),
    **dict.fromkeys(["beta_1", "beta_2", "ema_momentum"], (0, 1 - 1e-9)),
    "clipnorm": (1e-12, None),
}


@keras.saving.register_keras_serializable(package="keras_asit")
class AdamW(keras.optimizers.AdamW):
    """Keras's AdamW with weight decay that may be a schedule and spares biases and norms.

    Args:
        learning_rate: float or `LearningRateSchedule`. Defaults to `0.001`.
        weight_decay: float or `LearningRateSchedule`. Defaults to `0.04`.
        epsilon: float. Added to the denominator after bias correction, as in PyTorch.
            Defaults to `1e-8`.
        clipnorm: float. Largest norm of the gradient of a variable. Defaults to `None`, any.
        not_decayed: list of strs. Regular expressions of the paths of variables that are not
            decayed. Defaults to those of biases and normalization layers, whatever their rank.
            `exclude_from_weight_decay` replaces them.
        **kwargs: Other arguments of `keras.optimizers.AdamW`, such as `beta_2`.

    Example:
    ```python
    decay = keras_asit.schedules.WarmupCosine(0.04, 0.4, total_steps=10_000)
    optimizer = keras_asit.optimizers.AdamW(5e-4, weight_decay=decay, clipnorm=3.0)
    ```

    Reference: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101;
    Kingma and Ba, "Adam", arXiv 1412.6980, algorithm 1.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | LearningRateSchedule = 0.04,
        *,
        epsilon: float = 1e-8,
        clipnorm: float | None = None,
        not_decayed: Sequence[str] = (NOT_DECAYED,),
        name: str = "adamw",
        **kwargs,
    ):
        settings = {"learning_rate": learning_rate, "weight_decay": weight_decay, **kwargs}
        settings |= {"epsilon": epsilon, "clipnorm": clipnorm}
        for setting, (low, high) in RANGES.items():
            # Schedules, and what is not given, are no numbers.
            if isinstance(settings.get(setting), (numbers.Number, str)):
                check_number(setting, settings[setting], low, high)
        if isinstance(not_decayed, str):
            raise ValueError(
                "`not_decayed` must be a list of regular expressions. Received: "
                f"not_decayed={not_decayed!r}"
            )
        super().__init__(name=name, **settings)
        self.exclude_from_weight_decay(var_names=list(not_decayed))

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        super().exclude_from_weight_decay(var_list, var_names)
        # Keras leaves them out of the configuration, and a copy would decay what this does not.
        self._not_decayed = list(var_names or [])

    @property
    def weight_decay(self):
        """The weight decay of the next step: a float, or a tensor if it follows a schedule."""
        if isinstance(self._weight_decay, LearningRateSchedule):
            return self._weight_decay(self.iterations)
        return self._weight_decay

    @weight_decay.setter
    def weight_decay(self, value):
        self._weight_decay = value

    def _clip_gradients(self, grads):
        # Each is clipped when its turn comes: copies of all at once are as large as the network.
        return grads if self.clipnorm else super()._clip_gradients(grads)

    def update_step(self, gradient, variable, learning_rate):
        with _once_computed(gradient):
            self._update(gradient, variable, learning_rate)

    def _update(self, gradient, variable, learning_rate):
        # Keras adds epsilon before the bias of the second moment is corrected; algorithm 1 of
        # the Adam paper, and PyTorch, add it after.
        dtype, index = variable.dtype, self._get_variable_index(variable)
        gradient, step = ops.cast(gradient, dtype), ops.cast(self.iterations + 1, dtype)
        if self.clipnorm:
            gradient = self._clip_by_norm(gradient)
        correction_1 = 1 - ops.power(ops.cast(self.beta_1, dtype), step)
        correction_2 = ops.sqrt(1 - ops.power(ops.cast(self.beta_2, dtype), step))
        first, second = self._momentums[index], self._velocities[index]
        self.assign_add(first, (gradient - first) * (1 - self.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1 - self.beta_2))
        if self.amsgrad:
            self.assign(self._velocity_hats[index], ops.maximum(self._velocity_hats[index], second))
            second = self._velocity_hats[index]
        rate = ops.cast(learning_rate, dtype) * correction_2 / correction_1
        scale = ops.sqrt(second) + self.epsilon * correction_2
        self.assign_sub(variable, first * rate / scale)

    def get_config(self):
        decay = self._weight_decay
        if isinstance(decay, LearningRateSchedule):
            decay = keras.optimizers.schedules.serialize(decay)
        return {**super().get_config(), "not_decayed": self._not_decayed, "weight_decay": decay}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if isinstance(config.get("weight_decay"), dict):
            schedule = deserialize(config["weight_decay"], custom_objects=custom_objects)
            config = {**config, "weight_decay": schedule}
        return super().from_config(config, custom_objects=custom_objects)


def _once_computed(gradient):
    """Return a context in which TensorFlow reads no variable before a gradient is there.

    It would read all moments when a step begins, and have to copy each to change it.
    """
    if keras.config.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies([gradient])


def layerwise_decay(
    optimizer: keras.optimizers.Optimizer, backbone: keras.Model, decay: float = 0.75
) -> "keras.optimizers.MultiOptimizer":
    """Return an optimizer that changes the layers of a backbone the less, the deeper they lie.

    The last transformer block has the optimizer's learning rate times `decay`, the one before
    it times `decay` squared, and so on down to the patch embedding. Everything else, the head
    above all, has the optimizer's own. What of the backbone is to be frozen must be so already.

    Args:
        optimizer: a `keras.optimizers.Optimizer`, not yet used.
        backbone: the `ASiTBackbone` of the model that is fine-tuned.
        decay: float in [0, 1]. Defaults to `0.75`.

    Returns:
        A `keras.optimizers.MultiOptimizer`.

    Example:
    ```python
    classifier = keras_asit.models.ASiTAudioClassifier.from_preset("asit_tiny_16k", num_classes=2)
    optimizer = keras_asit.optimizers.AdamW(1e-4)
    classifier.compile(keras_asit.optimizers.layerwise_decay(optimizer, classifier.backbone))
    ```

    Reference: Clark et al., "ELECTRA", arXiv 2003.10555, section 3.1.
    """
    check_instance("optimizer", optimizer, keras.optimizers.Optimizer)
    check_number("decay", decay, 0, 1)
    layers = [backbone.patch_embedding, *backbone.transformer_blocks]
    optimizers = keras.optimizers.OptimizerMap(optimizer)
    for layer, distance in zip(layers, range(len(layers), 0, -1)):
        # Keras would never build an optimizer that has no weights, and fail to average them.
        if layer.trainable_variables:
            optimizers[rf"(.*/)?{layer.name}/.*"] = _scaled(optimizer, decay**distance, layer.name)
    return keras.optimizers.MultiOptimizer(optimizers)


def _scaled(optimizer, factor, name):
    config = optimizer.get_config()
    rate = config["learning_rate"]
    rate = Scaled(deserialize(rate), factor) if isinstance(rate, dict) else rate * factor
    name = f"{optimizer.name}_{name}"
    return type(optimizer).from_config({**config, "learning_rate": rate, "name": name})
