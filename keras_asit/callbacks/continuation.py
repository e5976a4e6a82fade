"""What a training that goes on needs besides its variables."""

import contextlib
import signal
import threading

import keras
import numpy as np


class TrainingInterrupted(KeyboardInterrupt):
    """Raised when a training has been saved because of Ctrl-C, SIGTERM or SIGHUP.

    Args:
        message: str.
        signal_number: int. Programs customarily exit with 128 plus this number.
    """

    def __init__(self, message, signal_number):
        super().__init__(message)
        self.signal_number = signal_number


def heeded_signals():
    """Return the set of Ctrl-C, SIGTERM and SIGHUP, without those that `nohup`, say, ignores."""
    # Windows has no SIGHUP, which tells that a terminal was closed.
    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGINT)}
    return {number for number in numbers if signal.getsignal(number) != signal.SIG_IGN}


@contextlib.contextmanager
def noted_signals():
    """Note the first of `heeded_signals` in the list that is yielded; the second works as ever."""
    noted, handlers = [], {}

    def note(number, _):
        noted.append(number)
        restore()
        name = signal.Signals(number).name
        # Nobody may read it any more, or a print may just have been interrupted.
        with contextlib.suppress(OSError, RuntimeError):
            print(f"\n{name}: saving after this batch; once more to stop at once.", flush=True)

    def restore():
        for number, handler in handlers.items():
            signal.signal(number, handler)
        handlers.clear()

    # Python lets only the main thread handle signals.
    if threading.current_thread() is threading.main_thread():
        for number in heeded_signals():
            handlers[number] = signal.signal(number, note)
    try:
        yield noted
    finally:
        restore()


class ContinuedCallbacks(keras.callbacks.CallbackList):
    """Callbacks that begin and end once, and whose batches are counted in the whole epoch."""

    batches_before = 0

    def begin(self):
        super().on_train_begin()

    def end(self):
        super().on_train_end()

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        pass

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(self.batches_before + batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(self.batches_before + batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.batches_before = 0


# Keras's callbacks choose one after their first epoch, and then forget what was best before.
COMPARISONS = {"keras.ops.less": keras.ops.less, "keras.ops.greater": keras.ops.greater}


class CallbackState:
    """The state of one callback whose training has just begun, to be written as JSON and arrays.

    A callback with methods `get_state()` and `set_state(state)` says itself what its state is.
    Of any other (`keras.callbacks.EarlyStopping`, `ReduceLROnPlateau`), it is those of its
    attributes that are plain (numbers, strings) and have changed since the training began, and
    those that are NumPy arrays or lists of them.
    """

    def __init__(self, callback):
        self.callback = callback
        self.name = type(callback).__name__
        self._at_begin = _plain_attributes(callback)

    def get(self, arrays):
        """Return the state, as JSON can hold it; its arrays are appended to the list `arrays`."""
        if hasattr(self.callback, "get_state"):
            return self.callback.get_state()

        def put(array):
            arrays.append(array)
            return len(arrays) - 1

        changed = _plain_attributes(self.callback).items() - self._at_begin.items()
        held = {name: value for name, value in vars(self.callback).items() if _is_arrays(value)}
        return {"plain": dict(changed), "arrays": keras.tree.map_structure(put, held)}

    def set(self, state, arrays):
        """Put the callback into a state that `get` returned, with the arrays that it appended."""
        if hasattr(self.callback, "set_state"):
            self.callback.set_state(state)
            return
        plain = {name: COMPARISONS.get(value, value) for name, value in state["plain"].items()}
        held = keras.tree.map_structure(lambda index: arrays[index], state["arrays"])
        vars(self.callback).update({**plain, **held})


def _plain_attributes(callback):
    plain = {}
    for name, value in vars(callback).items():
        value = value.item() if isinstance(value, np.number) else value
        value = next((word for word, other in COMPARISONS.items() if other is value), value)
        if isinstance(value, (bool, int, float, str, type(None))):
            plain[name] = value
    return plain


def _is_arrays(value):
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(each, np.ndarray) for each in values)


def global_generators():
    """Return the states of PyTorch's generators, which its dropout draws from, in bytes."""
    if keras.config.backend() != "torch":
        return []
    import torch

    return [state.tolist() for state in (torch.get_rng_state(), *torch.cuda.get_rng_state_all())]


def set_global_generators(states):
    """Set what `global_generators` returned."""
    if not states:
        return
    import torch

    generator, *devices = (torch.tensor(state, dtype=torch.uint8) for state in states)
    torch.set_rng_state(generator)
    torch.cuda.set_rng_state_all(devices)


def variables_of(model):
    """Return every variable once, metrics' and random generators' included."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return list({id(variable): variable for variable in variables}.values())


def description(variables):
    """Return what tells the variables of one model from another's, as JSON can hold it."""
    # Without names: Keras counts layers on, and another model of a process has other names.
    return [[str(variable.dtype), list(variable.shape)] for variable in variables]
