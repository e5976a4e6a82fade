"""How fast a training goes, how long it waits for data, and whether data still comes."""

import threading
import time
import warnings
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_asit._arguments import check_integers, check_number
from keras_asit._numpy_function import numpy_function

if TYPE_CHECKING:
    import tensorflow as tf


class PipelineMonitor(keras.callbacks.Callback):
    """Add throughput, time left and share of time spent waiting for data to the logs.

    The logs are `clips_per_second`, `hours_left` and `waiting_share` of the last `every_batches`
    batches, or of those left at the end of an epoch (NaN before). If a batch is awaited for
    `stall_seconds`, a warning says so, and again after as long.

    Args:
        batch_size: int. Clips of a batch.
        batches_per_epoch: int. About how many, for the time left.
        every_batches: int. Defaults to `50`.
        stall_seconds: float. Defaults to `300.0`.

    Example:
    ```python
    monitor = keras_asit.callbacks.PipelineMonitor(batch_size=64, batches_per_epoch=1000)
    table = keras_asit.callbacks.LogTable("progress.csv", every_batches=50)
    pretrainer.fit(monitor.watch(dataset), callbacks=[monitor, table])
    ```
    """

    def __init__(
        self,
        batch_size: int,
        batches_per_epoch: int,
        *,
        every_batches: int = 50,
        stall_seconds: float = 300.0,
    ):
        super().__init__()
        check_integers(1, batch_size=batch_size, batches_per_epoch=batches_per_epoch)
        check_integers(1, every_batches=every_batches)
        check_number("stall_seconds", stall_seconds, 0)
        self.batch_size = batch_size
        self.batches_per_epoch = batches_per_epoch
        self.every_batches = every_batches
        self.stall_seconds = stall_seconds
        self._requested = None
        self._waited = 0.0
        self._watchdog = None
        self._values = dict.fromkeys(("clips_per_second", "hours_left", "waiting_share"), np.nan)

    def watch(self, dataset: "tf.data.Dataset") -> "tf.data.Dataset":
        """Return `dataset` with clocks that tell how long each batch is awaited.

        Args:
            dataset: a `tf.data.Dataset` of batches. To be fitted on as it is returned, since to
                prefetch after the clocks would hide the waiting.
        """
        import tensorflow as tf

        def deliver(_, batch):
            with tf.control_dependencies([numpy_function(self._deliver, [], tf.bool)]):
                return tf.nest.map_structure(tf.identity, batch)

        requests = tf.data.Dataset.counter().map(
            lambda _: numpy_function(self._request, [], tf.bool)
        )
        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False
        # `zip` asks its datasets in turn: the clock is read, then the batch awaited.
        return tf.data.Dataset.zip((requests, dataset)).map(deliver).with_options(options)

    def _request(self):
        self._requested = time.monotonic()
        return np.True_

    def _deliver(self):
        if self._requested is not None:
            self._waited += time.monotonic() - self._requested
            self._requested = None
        return np.True_

    def on_train_begin(self, logs=None):
        self._stopped = threading.Event()
        self._watchdog = threading.Thread(target=self._warn_of_stalls, daemon=True)
        self._watchdog.start()

    def on_train_end(self, logs=None):
        self._stopped.set()
        self._watchdog.join()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._first_batch = epoch, None

    def on_train_batch_begin(self, batch, logs=None):
        if self._first_batch is None:
            self._start_window(batch)

    def on_train_batch_end(self, batch, logs=None):
        self._done, self._done_at = batch + 1, time.monotonic()
        self._log(logs, self.every_batches)

    def on_epoch_end(self, epoch, logs=None):
        # The end of the data was asked for, too.
        self._requested = None
        self._log(logs, 1)

    def _start_window(self, batch):
        self._first_batch, self._began, self._waited = batch, time.monotonic(), 0.0

    def _log(self, logs, enough_batches):
        """Log what was measured last; after enough batches, measure and open the next window."""
        batches = 0 if self._first_batch is None else self._done - self._first_batch
        if batches >= enough_batches:
            seconds = self._done_at - self._began
            epochs_left = self.params["epochs"] - self._epoch
            batches_left = max(0, epochs_left * self.batches_per_epoch - self._done)
            self._values = {
                "clips_per_second": batches * self.batch_size / seconds,
                "hours_left": batches_left * seconds / batches / 3600,
                "waiting_share": min(1.0, self._waited / seconds),
            }
            self._start_window(self._done)
        if logs is not None:
            logs.update(self._values)

    def _warn_of_stalls(self):
        warned_at = None
        while not self._stopped.wait(min(1.0, max(0.01, self.stall_seconds / 10))):
            requested = self._requested
            since = None if requested is None else max(requested, warned_at or requested)
            if since is not None and time.monotonic() - since > self.stall_seconds:
                warned_at = time.monotonic()
                self.warn(
                    f"No batch for {warned_at - requested:.0f} s (at "
                    f"{time.strftime('%Y-%m-%d %H:%M:%S')}): is the input pipeline stalled?"
                )

    def warn(self, message):
        """Say that no batch comes, from another thread than the one that waits for it."""
        warnings.warn(message, stacklevel=2)

    def get_state(self) -> dict:
        """Return nothing: measurements begin anew."""
        return {}

    def set_state(self, state: dict):
        """Do nothing."""
