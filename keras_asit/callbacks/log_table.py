"""Logs as a table that an interrupted training continues without a gap or repetition."""

import csv
import os
import warnings
from pathlib import Path

import keras

from keras_asit._arguments import check_integers
from keras_asit._files import synchronize


class LogTable(keras.callbacks.Callback):
    """Write a row of logs to a CSV file after each epoch, or after every so many batches.

    The columns are `epoch`, for batches `batch`, both from 0, and the logs of the first row.
    Batches left at the end of an epoch have a row too. A training that goes on from a checkpoint
    of `Checkpoints` takes back the rows that came after it.

    Args:
        path: str or `os.PathLike`. Another training's table is not overwritten.
        every_batches: int. Defaults to `None`, a row for each epoch.

    Raises:
        FileExistsError: in `fit`, if the file is there already and not continued.

    Example:
    ```python
    pretrainer.fit(dataset, callbacks=[keras_asit.callbacks.LogTable("losses.csv")])
    ```
    """

    def __init__(self, path: str | os.PathLike, *, every_batches: int | None = None):
        super().__init__()
        check_integers(1, or_none=True, every_batches=every_batches)
        self.path = Path(path)
        self.every_batches = every_batches
        self._is_ours = False
        self._next_batch = self._left = None

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._next_batch, self._left = self.every_batches, None

    def on_train_batch_end(self, batch, logs=None):
        if self.every_batches is None:
            return
        logs = logs or {}
        # The last batch without a row, and the names of its logs: an epoch has others besides.
        self._left = [batch, list(logs)]
        if batch + 1 >= self._next_batch:
            self._next_batch = batch + 1 + self.every_batches
            self._write_batch(logs)

    def on_epoch_end(self, epoch, logs=None):
        if self.every_batches is None:
            self._write({"epoch": epoch, **(logs or {})})
        elif self._left is not None:
            self._write_batch(logs or {})

    def get_state(self) -> dict:
        """Return the size of the table in bytes, which are on the disk from now on."""
        self._claim()
        synchronize(self.path)
        size = self.path.stat().st_size
        return {"size": size, "next_batch": self._next_batch, "left": self._left}

    def set_state(self, state: dict):
        """Cut the table to the size that it had."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < state["size"]:
            warnings.warn(f"{self.path} has lost rows: it is shorter than it was.", stacklevel=2)
        elif size:
            os.truncate(self.path, state["size"])
        self._is_ours = True
        self._next_batch, self._left = state["next_batch"], state["left"]

    def _write_batch(self, logs):
        batch, names = self._left
        logs = {name: logs[name] for name in names if name in logs}
        self._write({"epoch": self._epoch, "batch": batch, **logs})
        self._left = None

    def _write(self, row):
        self._claim()
        with open(self.path, "a+", newline="", encoding="utf-8") as file:
            file.seek(0)
            columns = next(csv.reader(file), None)
            if columns is None:
                columns = list(row)
                csv.writer(file).writerow(columns)
            csv.DictWriter(file, columns, restval="NA").writerow(row)

    def _claim(self):
        """Make the table, unless it is there and ours."""
        if not self._is_ours and self.path.exists() and self.path.stat().st_size:
            raise FileExistsError(
                f"{self.path} is the table of another training. Remove it or choose another path."
            )
        self._is_ours = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()


class LogSchedules(keras.callbacks.Callback):
    """Add schedules and effective rank of an `ASiTPretrainer` to the logs of each epoch.

    Schedules have the values of the next step. `effective_rank` tells in how many dimensions the
    teacher's [CLS] lies, of the epoch's clips or, if there are any, those for validation: 1 where
    all are alike, at most the width.

    Example:
    ```python
    pretrainer.fit(dataset, callbacks=[keras_asit.callbacks.LogSchedules()])
    ```

    Reference: Garrido et al., "RankMe", arXiv 2210.02885, section 3, for the rank.
    """

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["effective_rank"] = self.model.embedding_moment.effective_rank()
            logs.update(self.model.schedule_values())
