"""Steps down by a factor, after a linear warm-up."""

import keras
from keras import ops

from keras_asit.arguments import check_number, check_positive_integer


@keras.saving.register_keras_serializable(package="keras_asit")
class WarmupStepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to `start`, then a multiplication by `decay_rate` at every interval.

    Args:
        start: float. Value at the end of the warm-up.
        decay_rate: float in [0, 1]. What the value is multiplied by at each decay.
        first_decay_step: int. Step of the first decay.
        decay_steps: int. Number of steps from one decay to the next.
        warmup_steps: int, at most `first_decay_step`. Defaults to `0`.

    Call arguments:
        step: int or scalar tensor. Index of the step, from 0.

    Example:

    ```python
    # Halved after 10 epochs of 100 steps, and then every 5.
    rate = keras_asit.schedules.WarmupStepDecay(5e-5, 0.5, 1000, 500, warmup_steps=200)
    ```

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, section 3.1.
    """

    def __init__(self, start, decay_rate, first_decay_step, decay_steps, warmup_steps=0):
        super().__init__()
        check_number("start", start)
        check_number("decay_rate", decay_rate, 0, 1)
        check_positive_integer("first_decay_step", first_decay_step)
        check_positive_integer("decay_steps", decay_steps)
        check_number("warmup_steps", warmup_steps, 0, first_decay_step)
        self.start = start
        self.decay_rate = decay_rate
        self.first_decay_step = first_decay_step
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        decays = ops.floor((step - self.first_decay_step) / self.decay_steps) + 1
        value = self.start * ops.power(float(self.decay_rate), ops.maximum(decays, 0.0))
        if not self.warmup_steps:
            return value
        return ops.where(step < self.warmup_steps, self.start * step / self.warmup_steps, value)

    def get_config(self):
        return {
            "start": self.start,
            "decay_rate": self.decay_rate,
            "first_decay_step": self.first_decay_step,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
        }
