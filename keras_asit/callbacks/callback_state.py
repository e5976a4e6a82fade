"""What a callback remembers from batch to batch."""

import keras
import numpy as np

from keras_asit.callbacks.checkpoint_folder import storable

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
