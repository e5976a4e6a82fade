"""Half a cosine from one value to another, after a linear warm-up."""

import math

import keras
from keras import ops

from keras_asit.arguments import check_number, check_positive_integer


@keras.saving.register_keras_serializable(package="keras_asit")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, then half a cosine from `start` to `end`.

    For the learning rate, and without warm-up for weight decay and the teacher's momentum.

    Args:
        start: float. Value at the end of the warm-up.
        end: float. Value from step `total_steps` on.
        total_steps: int. Number of steps, the warm-up's included.
        warmup_steps: int. Defaults to `0`.

    Call arguments:
        step: int or scalar tensor. Index of the step, from 0.

    Example:

    ```python
    momentum = keras_asit.schedules.WarmupCosine(0.996, 1.0, total_steps=10_000)
    momentum(5_000)  # 0.998
    ```

    Reference: Loshchilov and Hutter, "SGDR", arXiv 1608.03983, equation 5.
    """

    def __init__(self, start, end, total_steps, warmup_steps=0):
        super().__init__()
        check_number("start", start)
        check_number("end", end)
        check_positive_integer("total_steps", total_steps)
        check_number("warmup_steps", warmup_steps, 0, total_steps - 1)
        self.start = start
        self.end = end
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        cosine_steps = self.total_steps - self.warmup_steps
        progress = ops.clip((step - self.warmup_steps) / cosine_steps, 0.0, 1.0)
        # Written around `end` so that float32 holds a momentum close to 1.
        cosine = self.end + (self.start - self.end) * (0.5 + 0.5 * ops.cos(math.pi * progress))
        if not self.warmup_steps:
            return cosine
        warmup = self.start * step / self.warmup_steps
        return ops.where(step < self.warmup_steps, warmup, cosine)

    def get_config(self):
        return {
            "start": self.start,
            "end": self.end,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }
