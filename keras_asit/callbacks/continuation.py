"""What a training that goes on needs besides its variables."""

import signal
import threading

import keras
import numpy as np

from keras_asit.callbacks.checkpoint_folder import storable

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(KeyboardInterrupt):
    """Raised when a training has been saved because of Ctrl-C or SIGTERM.

    Args:
        message: str.
        signal_number: int. Programs customarily exit with 128 plus this number.
    """

    def __init__(self, message, signal_number):
        super().__init__(message)
        self.signal_number = signal_number


class Interruption:
    """A context in which the first Ctrl-C or SIGTERM is only noted; the second works as ever.

    Attributes:
        signal_number: int, or `None` while there was no signal.
    """

    def __init__(self):
        self.signal_number = None
        self._handlers = {}

    def __enter__(self):
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, number, _):
        self.signal_number = number
        self.__exit__()
        name = signal.Signals(number).name
        print(f"\n{name}: saving after this batch; once more to stop at once.", flush=True)


class ContinuedCallbacks(keras.callbacks.CallbackList):
    """A `keras.callbacks.CallbackList` that begins and ends once, whatever `fit` says.

    Batches keep their number in the whole epoch where `fit` sees only the rest of it.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.batches_before = 0

    def begin(self):
        """Begin the training."""
        super().on_train_begin()

    def end(self, logs=None):
        """End the training."""
        super().on_train_end(logs)

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


# Set by `fit` anew.
NOT_STATE = ("params", "_model")
# Keras's callbacks choose one after their first epoch, and then forget what was best before.
COMPARISONS = {"keras.ops.less": keras.ops.less, "keras.ops.greater": keras.ops.greater}


class CallbackState:
    """The state of one callback, to be written as JSON and arrays.

    A callback with methods `get_state()` and `set_state(state)` says itself what its state is.
    Of any other (`keras.callbacks.EarlyStopping`, `ReduceLROnPlateau`), it is those of its
    attributes that are plain (numbers, strings) and have changed since the training began, and
    those that are NumPy arrays or lists of them.

    Args:
        callback: a `keras.callbacks.Callback` whose training has just begun.
    """

    def __init__(self, callback):
        self.callback = callback
        self._at_begin = _plain_attributes(callback)

    def get(self, arrays):
        """Return the state, as JSON can hold it; its arrays are appended to the list `arrays`."""
        if hasattr(self.callback, "get_state"):
            return self.callback.get_state()
        begin, now = self._at_begin, _plain_attributes(self.callback)
        state = {name: now[name] for name in now if name not in begin or begin[name] != now[name]}
        for name, value in vars(self.callback).items():
            if _holds_arrays(value):
                state[name] = _put(value, arrays)
        return state

    def set(self, state, arrays):
        """Put the callback into a state that `get` returned, with the arrays that it appended."""
        if hasattr(self.callback, "set_state"):
            self.callback.set_state(state)
        else:
            values = {name: _take(value, arrays) for name, value in state.items()}
            vars(self.callback).update(values)


def _plain_attributes(callback):
    values = {name: _plain(value) for name, value in vars(callback).items()}
    plain = (bool, int, float, str, type(None))
    return {
        name: value
        for name, value in values.items()
        if name not in NOT_STATE and isinstance(value, plain)
    }


def _plain(value):
    if isinstance(value, np.number):
        return value.item()
    return next((name for name, other in COMPARISONS.items() if value is other), value)


def _holds_arrays(value):
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(each, np.ndarray) for each in values)


def _put(value, arrays):
    """Append an array or a list of them to `arrays`; return where they are there."""
    if isinstance(value, list):
        return [_put(each, arrays) for each in value]
    arrays.append(storable(value))
    return {"array": len(arrays) - 1}


def _take(value, arrays):
    """Return what was plain, or was put into `arrays`."""
    if isinstance(value, list):
        return [_take(each, arrays) for each in value]
    if isinstance(value, dict):
        return arrays[value["array"]]
    return COMPARISONS.get(value, value) if isinstance(value, str) else value


def global_generators():
    """Return the states of PyTorch's generators as lists of bytes; none on other backends.

    Keras's dropout draws from them under PyTorch, whatever its seed.
    """
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
    """Return what tells the variables of one model from those of another, as JSON can hold it."""
    # Without names: Keras counts layers on, and another model of a process has other names.
    return [[str(variable.dtype), list(variable.shape)] for variable in variables]


def as_array(variable):
    """Return the value of a variable as an array that can be written."""
    return storable(keras.ops.convert_to_numpy(variable.value))


def assign(variables, arrays):
    """Set variables to arrays."""
    for variable, array in zip(variables, arrays):
        variable.assign(array)
