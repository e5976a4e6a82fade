"""A schedule times a number."""

import keras

from keras_asit.arguments import check_number


@keras.saving.register_keras_serializable(package="keras_asit")
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """Multiply a schedule by a constant factor.

    Args:
        schedule: a `keras.optimizers.schedules.LearningRateSchedule`.
        factor: float.

    Example:

    ```python
    rate = keras_asit.schedules.WarmupCosine(1e-3, 0.0, total_steps=1000)
    tenth = keras_asit.schedules.Scaled(rate, 0.1)
    ```
    """

    def __init__(self, schedule, factor):
        super().__init__()
        if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            raise ValueError(
                "`schedule` must be a LearningRateSchedule. Received: "
                f"schedule={schedule!r} of type {type(schedule).__name__}"
            )
        check_number("factor", factor)
        self.schedule = schedule
        self.factor = factor

    def __call__(self, step):
        return self.schedule(step) * self.factor

    def get_config(self):
        return {
            "schedule": keras.optimizers.schedules.serialize(self.schedule),
            "factor": self.factor,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["factor"])
