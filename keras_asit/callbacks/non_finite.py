"""An end to trainings that have gone wrong, and a word about what did it."""

import warnings
from collections.abc import Callable

import keras
import numpy as np

from keras_asit._arguments import name_some

MAX_NAMED = 20


class StopOnNonFinite(keras.callbacks.Callback):
    """Stop when a loss or a gradient is not finite, and name the step and its files.

    An `ASiTPretrainer` counts such steps; where it undoes them (`skip_non_finite`), they are only
    named in a warning. To be put before callbacks that write something.

    Args:
        files: function of an epoch and its first and last batch in question that returns their
            files, such as `Checkpoints.log.files`. Defaults to `None`: none are named.

    Raises:
        FloatingPointError: in `fit`.

    Example:
    ```python
    checkpoints = keras_asit.callbacks.Checkpoints("runs/checkpoints")
    watch = keras_asit.callbacks.StopOnNonFinite(checkpoints.log.files)
    checkpoints.fit(pretrainer, batches, epochs=100, callbacks=[watch])
    ```
    """

    def __init__(self, files: Callable[[int, int, int], list[str]] | None = None):
        super().__init__()
        self.files = files
        self._counted, self._next_batch = 0.0, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._counted, self._next_batch = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        logs = logs or {}
        first, self._next_batch = self._next_batch, batch + 1
        counted = logs.get("non_finite_steps", 0.0)
        is_finite = np.isfinite(logs.get("loss", 0.0))
        if counted == self._counted and is_finite:
            return
        message = self._describe(first, batch, logs)
        if getattr(self.model, "skip_non_finite", False) and is_finite:
            self._counted = counted
            warnings.warn(f"Skipped: {message}", stacklevel=2)
        else:
            raise FloatingPointError(message)

    def on_epoch_end(self, epoch, logs=None):
        if self._next_batch and self._counted == self._next_batch:
            raise FloatingPointError(f"In epoch {epoch + 1}, no loss was finite in any step.")

    def _describe(self, first, last, logs):
        batches = f"batch {last + 1}" if first == last else f"batches {first + 1} to {last + 1}"
        where = f"{batches} of epoch {self._epoch + 1}"
        step = getattr(self.model, "step", None)
        if step is not None:
            where += f" (step {int(step)})"
        message = f"loss or gradient not finite in {where}, loss {logs.get('loss')}."
        if self.files is None:
            return message
        return f"{message} Files: {name_some(self.files(self._epoch, first, last), MAX_NAMED)}"
