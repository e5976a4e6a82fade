"""What a callback remembers from batch to batch."""

import keras
import numpy as np

# Set by `fit` anew.
NOT_STATE = ("params", "_model")
# Keras's callbacks choose one after their first epoch, and then forget what was best before.
COMPARISONS = {"keras.ops.less": keras.ops.less, "keras.ops.greater": keras.ops.greater}


class CallbackState:
    """The state of one callback, to be written as JSON.

    A callback with methods `get_state()` and `set_state(state)` says itself what its state is.
    Of any other (`keras.callbacks.EarlyStopping`, `ReduceLROnPlateau`), it is those of its
    attributes that are plain (numbers, strings) and have changed since the training began.

    Args:
        callback: a `keras.callbacks.Callback` whose training has just begun.
    """

    def __init__(self, callback):
        self.callback = callback
        self._at_begin = _plain_attributes(callback)

    def get(self):
        """Return the state, as JSON can hold it."""
        if hasattr(self.callback, "get_state"):
            return self.callback.get_state()
        begin, now = self._at_begin, _plain_attributes(self.callback)
        return {name: now[name] for name in now if name not in begin or begin[name] != now[name]}

    def set(self, state):
        """Put the callback into a state that `get` returned."""
        if hasattr(self.callback, "set_state"):
            self.callback.set_state(state)
        else:
            values = {
                name: COMPARISONS.get(value, value) if isinstance(value, str) else value
                for name, value in state.items()
            }
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
