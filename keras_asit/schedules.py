"""Schedules of the step, an int or a scalar tensor from 0 on: of learning rate, momentum, ..."""

import math

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from keras_asit._arguments import check_instance, check_integers, check_number

__all__ = ["Scaled", "WarmupCosine", "WarmupStepDecay"]


class _Schedule(LearningRateSchedule):
    """A schedule whose attributes are its configuration, and which may warm up to `start`."""

    warmup_steps = 0

    def __call__(self, step):
        step = ops.cast(step, "float32")
        value = self.value(step)
        if not self.warmup_steps:
            return value
        return ops.where(step < self.warmup_steps, self.start * step / self.warmup_steps, value)

    def get_config(self):
        return dict(vars(self))


@keras.saving.register_keras_serializable(package="keras_asit")
class WarmupCosine(_Schedule):
    """Linear warm-up from 0, then half a cosine from `start` to `end`.

    Args:
        start, end: floats. Values at the end of the warm-up, and from step `total_steps` on.
        total_steps: int. Number of steps, the warm-up's included.
        warmup_steps: int. Defaults to `0`.

    Example:
    ```python
    momentum = keras_asit.schedules.WarmupCosine(0.996, 1.0, total_steps=10_000)
    momentum(5_000)  # 0.998
    ```

    Reference: Loshchilov and Hutter, "SGDR", arXiv 1608.03983, equation 5.
    """

    def __init__(self, start: float, end: float, total_steps: int, *, warmup_steps: int = 0):
        super().__init__()
        check_number("start", start)
        check_number("end", end)
        check_integers(1, total_steps=total_steps)
        check_number("warmup_steps", warmup_steps, 0, total_steps - 1)
        self.start = start
        self.end = end
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def value(self, step):
        cosine_steps = self.total_steps - self.warmup_steps
        progress = ops.clip((step - self.warmup_steps) / cosine_steps, 0.0, 1.0)
        # Written around `end` so that float32 holds a momentum close to 1.
        return self.end + (self.start - self.end) * (0.5 + 0.5 * ops.cos(math.pi * progress))


@keras.saving.register_keras_serializable(package="keras_asit")
class WarmupStepDecay(_Schedule):
    """Linear warm-up from 0 to `start`, then a multiplication by `decay_rate` at every interval.

    Args:
        start: float. Value at the end of the warm-up.
        decay_rate: float in [0, 1]. What the value is multiplied by at each decay.
        first_decay_step: int. Step of the first decay.
        decay_steps: int. Number of steps from one decay to the next.
        warmup_steps: int, at most `first_decay_step`. Defaults to `0`.

    Example:
    ```python
    # Halved after 10 epochs of 100 steps, and then every 5.
    rate = keras_asit.schedules.WarmupStepDecay(5e-5, 0.5, 1000, decay_steps=500)
    ```

    Reference: Gong et al., "AST", arXiv 2104.01778, section 3.1.
    """

    def __init__(
        self,
        start: float,
        decay_rate: float,
        first_decay_step: int,
        *,
        decay_steps: int,
        warmup_steps: int = 0,
    ):
        super().__init__()
        check_number("start", start)
        check_number("decay_rate", decay_rate, 0, 1)
        check_integers(1, first_decay_step=first_decay_step, decay_steps=decay_steps)
        check_number("warmup_steps", warmup_steps, 0, first_decay_step)
        self.start = start
        self.decay_rate = decay_rate
        self.first_decay_step = first_decay_step
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps

    def value(self, step):
        decays = ops.floor((step - self.first_decay_step) / self.decay_steps) + 1
        return self.start * ops.power(float(self.decay_rate), ops.maximum(decays, 0.0))


@keras.saving.register_keras_serializable(package="keras_asit")
class Scaled(LearningRateSchedule):
    """Multiply a schedule by a constant factor.

    Args:
        schedule: a `keras.optimizers.schedules.LearningRateSchedule`.
        factor: float.

    Example:
    ```python
    schedule = keras_asit.schedules.WarmupCosine(1e-3, 0.0, total_steps=1000)
    tenth = keras_asit.schedules.Scaled(schedule, 0.1)
    ```
    """

    def __init__(self, schedule: LearningRateSchedule, factor: float):
        super().__init__()
        check_instance("schedule", schedule, LearningRateSchedule)
        check_number("factor", factor)
        self.schedule = schedule
        self.factor = factor

    def __call__(self, step):
        return self.schedule(step) * self.factor

    def get_config(self):
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "factor": self.factor}

    @classmethod
    def from_config(cls, config):
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["factor"])
