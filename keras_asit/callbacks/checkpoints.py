"""Checkpoints of everything that a training is, from which it goes on exactly."""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_asit._arguments import check_choice, check_integers
from keras_asit._files import locked_folder
from keras_asit.callbacks.checkpoint_folder import CheckpointFolder
from keras_asit.callbacks.continuation import (
    CallbackState,
    ContinuedCallbacks,
    TrainingInterrupted,
    description,
    global_generators,
    noted_signals,
    set_global_generators,
    variables_of,
)
from keras_asit.callbacks.processes import Processes
from keras_asit.data import ReadLog, Start
from keras_asit.replicas import num_processes, sum_over_replicas

if TYPE_CHECKING:
    import tensorflow as tf


class Checkpoints(keras.callbacks.Callback):
    """Save the whole state of a training, and go on from there as if it had never stopped.

    The state is every variable of model, optimizer and metrics, random generators included;
    the epoch, the batch, and the files that could not be read; and the state of callbacks.
    Whatever kills the process, the same call of `fit` goes on from the newest checkpoint that
    is whole, and the losses of all batches are, on the same machine and backend, those of a
    training that was never interrupted.

    A checkpoint is saved before the first batch, after each epoch, after every `save_freq`
    batches, and at Ctrl-C, SIGTERM or SIGHUP, after the current batch: `fit` then raises
    `TrainingInterrupted`. A state that is not finite is not saved.

    Of several processes that train together, all call `fit`, with a folder that all of them see;
    the first writes it. They go on with another number of processes too.

    Args:
        folder: str or `os.PathLike`, of one training only.
        save_freq: `"epoch"`, or int: a number of batches. Defaults to `"epoch"`.
        keep: int. How many of the newest checkpoints are kept. Defaults to `3`.
        monitor: str. A log; the checkpoint of the epoch where it was best is kept too.
            Defaults to `"loss"`.
        mode: `"min"` or `"max"`, which `monitor` is best. Defaults to `"min"`.
        settings: dict that JSON can hold. A training with others is not continued. Defaults to
            `None`, nothing.

    Raises:
        ValueError: in `fit`, if all checkpoints are damaged, or the newest is of another model,
            other settings or another backend.
        OSError: in `fit`, if a checkpoint cannot be written, or there is no room for all of them,
            or another process uses the folder.

    Example:
    ```python
    checkpoints = keras_asit.callbacks.Checkpoints("runs/checkpoints", save_freq=1000)

    def batches(start):
        return keras_asit.data.pretraining_dataset(
            "recordings", batch_size=64, seed=1, start=start, log=checkpoints.log
        )

    checkpoints.fit(pretrainer, batches, epochs=100)
    ```
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        save_freq: int | str = "epoch",
        keep: int = 3,
        monitor: str = "loss",
        mode: str = "min",
        settings: dict | None = None,
    ):
        super().__init__()
        if save_freq != "epoch":
            check_integers(1, save_freq=save_freq)
        check_integers(1, keep=keep)
        check_choice("mode", mode, ("min", "max"))
        self.folder = CheckpointFolder(folder, keep, min if mode == "min" else max)
        self.save_freq = save_freq
        self.monitor = monitor
        self.settings = settings or {}
        self.log = ReadLog()

    def fit(
        self,
        model: keras.Model,
        batches: Callable[[Start], "tf.data.Dataset"],
        epochs: int,
        *,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int | str = "auto",
    ) -> keras.callbacks.History:
        """Train a model from the newest checkpoint, or from the beginning if there is none.

        Args:
            model: a compiled `keras.Model` whose variables exist.
            batches: function of a `keras_asit.data.Start` that returns a dataset which starts
                there and notes in `log` what it reads, such as a
                `keras_asit.data.pretraining_dataset`; of several processes, its share of batches.
            epochs: int. The number of epochs, those of the checkpoint included; schedules follow
                from it, so that a training goes on with the same number only.
            callbacks, verbose: as in `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History` of the epochs that were trained now.
        """
        check_integers(1, epochs=epochs)
        self._processes = Processes(model)
        is_first = not self._processes.index
        with locked_folder(self.folder.folder) if is_first else contextlib.nullcontext():
            self._fit(model, batches, epochs, callbacks, verbose)
            self._processes.gather(0)  # The first has written all by then.
        return model.history

    def load_best(self, model: keras.Model):
        """Set a model to the checkpoint of the epoch where `monitor` was best.

        Raises:
            ValueError: If there is none, or it is another model's.
        """
        best = self.folder.read_best()
        Processes(model).gather(0)  # None may go on to remove the folder.
        if best is None:
            raise ValueError(
                f"No checkpoint in {self.folder.folder} was saved at a value of {self.monitor!r} "
                "that is a number."
            )
        arrays, state = best
        # Those of the optimizer and of metrics come behind; for use, none of them is needed.
        if state["variables"][: state["model_variables"]] != description(model.variables):
            raise ValueError(
                f"{self.folder.folder} holds checkpoints of a model with other variables; build "
                "the model that was trained."
            )
        _assign(model, arrays[: len(model.variables)])

    def _fit(self, model, batches, epochs, callbacks, verbose):
        self.set_model(model)
        self._epochs = epochs
        self._build(batches)
        params = {"verbose": verbose, "epochs": epochs, "steps": None}
        run = ContinuedCallbacks(
            [*callbacks, self], add_history=True, add_progbar=verbose != 0, model=model, **params
        )
        self._restore()
        if verbose and not self._processes.index:
            self._say_where()
        with noted_signals() as self._signals:
            run.begin()
            self._callback_states = [CallbackState(callback) for callback in callbacks]
            if self._state is None:
                self._save(0, 0)
            else:
                self._set_callbacks()
            if self._start.batch:
                self._finish_epoch(batches, run)
                # As it was before the end of `fit`, which averages of weights end with.
                self._restore()
            if self._state is None or not self._state["finished"]:
                self._fit_on(batches, run, epochs)
            model.optimizer.finalize_variable_values(model.trainable_variables)
            run.end()

    def _build(self, batches):
        """Make the variables that are made in `fit`, where it is too late for a checkpoint's."""
        model = self.model
        if hasattr(model, "use_recipe"):  # An `ASiTPretrainer`.
            dataset, number = batches(Start()), self._processes.number
            # A process's is a share of the batch.
            whole = {"batch_size": number * dataset.element_spec["clean"].shape[0]}
            model.use_recipe(dataset, self._epochs, **(whole if number > 1 else {}))
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if model.loss is not None:
            # Metrics get theirs from a batch; under JAX, `fit` would take it from the first pass.
            model.evaluate(self._processes.feed(batches(Start()).take(1)), verbose=0)
        self.log.clear()

    def _finish_epoch(self, batches, run):
        """Train on the rest of an epoch by itself: `fit` takes its first for the size of all."""
        epoch = self._start.epoch
        run.batches_before = self._start.batch
        if any(True for _ in batches(self._start).take(1)):
            self._fit_on(batches, run, epoch + 1)
        else:
            # The checkpoint was saved after the last batch, which nobody knew to be the last.
            self.model.stop_training = False
            run.on_epoch_begin(epoch)
            run.on_epoch_end(epoch, self.model.get_metrics_result())

    def _fit_on(self, batches, run, epochs):
        start = self._start
        data = self._processes.feed(batches(start))
        self.model.fit(data, initial_epoch=start.epoch, epochs=epochs, callbacks=run, shuffle=False)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._saved_batch, self._generators = epoch, 0, []
        if epoch == self._start.epoch and self._start.batch:
            # `fit` and callbacks have just started the epoch anew; it is under way.
            self._saved_batch = self._start.batch
            _assign(self.model, self._arrays)
            self._set_callbacks()
            self._generators = self._state["generators"]
        self._arrays = []  # Those of a large model need much memory.

    def on_train_batch_begin(self, batch, logs=None):
        # Once more: under PyTorch, the iterator over the rest of the epoch has drawn a number.
        set_global_generators(self._generators)
        self._generators = []

    def on_train_batch_end(self, batch, logs=None):
        done, signals = batch + 1, self._signals_to_all()
        is_due = self.save_freq != "epoch" and done - self._saved_batch >= self.save_freq
        if signals or is_due:
            self._save(self._epoch, done)
        if signals:
            where = f"batch {done} of epoch {self._epoch + 1} in {self.folder.folder}"
            raise TrainingInterrupted(f"Saved after {where}.", signals[0])

    def _signals_to_all(self):
        """Return what signal any process has received, in a list of at most one."""
        signals = list(self._signals)[:1]
        if self._processes.number > 1:
            signals = [int(n) for n in self._processes.gather(*(signals or [0]))[:, 0] if n][:1]
        return signals

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"`monitor` must be a log of the epoch: {', '.join(sorted(logs or {}))}. "
                f"Received: monitor={self.monitor!r}"
            )
        self._save(epoch + 1, 0, float(logs[self.monitor]))

    def _save(self, epoch, batch, monitored=None):
        variables = variables_of(self.model)
        values = [keras.ops.convert_to_tensor(variable) for variable in variables]
        counts = _counts_of_shares(self.model)
        arrays = [
            keras.ops.convert_to_numpy(sum_over_replicas(v) if id(variable) in counts else v)
            for variable, v in zip(variables, values)
        ]
        for variable, array in zip(variables, arrays):
            if not np.isfinite(array).all():
                raise FloatingPointError(
                    f"{variable.path} is not finite; not saved, in epoch "
                    f"{epoch + 1 if batch else epoch}. The newest checkpoint in "
                    f"{self.folder.folder} is from before."
                )
        self._saved_batch = batch
        if self._processes.index:
            return
        if (epoch, batch) == (0, 0):
            self.folder.check_writable(sum(array.nbytes for array in arrays))
        finished = epoch == self._epochs or (not batch and self.model.stop_training)
        state = {
            "epoch": epoch,
            "batch": batch,
            "epochs": self._epochs,
            # In the pass under way; where none follows, in the last one.
            "unreadable": self.log.unreadable(epoch - finished) if batch or finished else [],
            "finished": finished,
            "monitored": monitored,
            "variables": description(variables),
            "model_variables": len(self.model.variables),
            "backend": keras.config.backend(),
            "settings": self.settings,
            "generators": global_generators(),
            # Their arrays are put behind those of the variables.
            "callbacks": [[state.name, state.get(arrays)] for state in self._callback_states],
        }
        self.folder.write(f"checkpoint-{epoch:06d}-{batch:09d}", arrays, state)

    def _restore(self):
        """Set all variables, and the start, to those of the newest checkpoint, if there is one."""
        self._start = Start()
        self._arrays, self._state = self._read_newest() or ([], None)
        if self._state is None:
            return
        self._check_same(self._state)
        _assign(self.model, self._arrays)
        set_global_generators(self._state["generators"])
        self._start = Start(*(self._state[name] for name in ("epoch", "batch", "unreadable")))
        if self._state["finished"]:
            self.log.begin(self._start.epoch - 1, None, self._start.unreadable)
        if not self._processes.index:
            self.folder.check_writable(sum(array.nbytes for array in self._arrays))

    def _say_where(self):
        if self._state is not None and not self._state["finished"]:
            done = f"in epoch {self._start.epoch + 1} after batch {self._start.batch}"
            print(f"Going on {done}, from {self.folder.folder}.", flush=True)

    def _read_newest(self):
        """Return arrays and state of the newest checkpoint, or `None`; all processes read it."""
        is_first = not self._processes.index
        newest = self.folder.read_newest() if is_first else None
        # Others read after the first has set aside what is damaged.
        self._processes.gather(0)
        newest = newest if is_first else self.folder.read_newest()
        place = (-1, -1) if newest is None else (newest[1]["epoch"], newest[1]["batch"])
        places = self._processes.gather(*place)
        if (places != places[0]).any():
            raise ValueError(
                f"Processes read other checkpoints in {self.folder.folder}: {places.tolist()} "
                "(epoch, batch). Give all of them a folder that they share."
            )
        return newest

    def _check_same(self, state):
        differences = [
            f"{name} was {state['settings'].get(name)!r}, is {self.settings.get(name)!r}"
            for name in sorted({*state["settings"], *self.settings})
            if state["settings"].get(name) != self.settings.get(name)
        ]
        if state["backend"] != keras.config.backend():
            differences.append(f"backend was {state['backend']}, is {keras.config.backend()}")
        if state["variables"] != description(variables_of(self.model)):
            differences.append("the model or its optimizer has other variables")
        if state["epochs"] != self._epochs:
            differences.append(f"epochs was {state['epochs']}, is {self._epochs}")
        if differences:
            raise ValueError(
                f"{self.folder.folder} holds checkpoints of another training: "
                f"{'; '.join(dict.fromkeys(differences))}. Repeat it as it was, or choose another "
                "folder."
            )

    def _set_callbacks(self):
        saved_names = [name for name, _ in self._state["callbacks"]]
        names = [state.name for state in self._callback_states]
        if names != saved_names:
            raise ValueError(
                f"`callbacks` must be those of the training that is continued, {saved_names}. "
                f"Received: {names}"
            )
        for callback_state, (_, saved) in zip(self._callback_states, self._state["callbacks"]):
            callback_state.set(saved, self._arrays)


def _assign(model, arrays):
    """Set the first of a model's variables."""
    counts = _counts_of_shares(model)
    for variable, array in zip(variables_of(model), arrays):
        # TensorFlow divides what its replicas count by itself.
        variable.assign(array / num_processes() if id(variable) in counts else array)


def _counts_of_shares(model):
    """Return the ids of variables of metrics that a process counts its share of the clips in."""
    metrics = [part for whole in model.metrics for part in getattr(whole, "metrics", [whole])]
    metrics = [metric for metric in metrics if getattr(metric, "adds_up", True)]
    return {id(variable) for metric in metrics for variable in metric.variables}
