"""A straight line from one value to another, then constant."""

import keras
from keras import ops

from keras_asit.arguments import check_number, check_positive_integer


@keras.saving.register_keras_serializable(package="keras_asit")
class LinearRamp(keras.optimizers.schedules.LearningRateSchedule):
    """Rise or fall linearly from `start` to `end`, then stay there.

    For the teacher's temperature.

    Args:
        start: float. Value at step 0.
        end: float. Value from step `ramp_steps` on.
        ramp_steps: int. Number of steps of the ramp.

    Call arguments:
        step: int or scalar tensor. Index of the step, from 0.

    Example:

    ```python
    temperature = keras_asit.schedules.LinearRamp(0.04, 0.07, ramp_steps=3_000)
    ```

    Reference: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", arXiv
    2104.14294, section 3.1.
    """

    def __init__(self, start, end, ramp_steps):
        super().__init__()
        check_number("start", start)
        check_number("end", end)
        check_positive_integer("ramp_steps", ramp_steps)
        self.start = start
        self.end = end
        self.ramp_steps = ramp_steps

    def __call__(self, step):
        progress = ops.clip(ops.cast(step, "float32") / self.ramp_steps, 0.0, 1.0)
        return self.start + (self.end - self.start) * progress

    def get_config(self):
        return {"start": self.start, "end": self.end, "ramp_steps": self.ramp_steps}
