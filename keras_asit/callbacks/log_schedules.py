"""The values of all schedules, among the logs of each epoch."""

import keras


class LogSchedules(keras.callbacks.Callback):
    """Add learning rate, weight decay, and the teacher's momentum and temperature to the logs.

    At the end of each epoch, with the values of the next step, so that the history and every
    callback after this one (`keras.callbacks.TensorBoard`, `CSVLogger`) see them.

    Example:

    ```python
    pretrainer.fit(dataset, callbacks=[keras_asit.callbacks.LogSchedules()])
    ```
    """

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(self.model.schedule_values())
