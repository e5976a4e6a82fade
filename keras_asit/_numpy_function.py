"""Python functions inside graphs of TensorFlow, none of which outlives the interpreter."""

import atexit
import threading
import time

QUIET_SECONDS = 0.1
LONGEST_SECONDS = 8.0


def numpy_function(function, inputs, dtypes):
    """Return `tf.numpy_function` of arguments, which fails once the interpreter is about to end."""
    import tensorflow as tf

    return tf.numpy_function(lambda *values: _calls.call(function, values), inputs, dtypes)


class Calls:
    """Calls by threads that are not Python's, until they are ended.

    The interpreter does not end such threads, but never lets one run again after its own end;
    whoever destroys a pipeline then waits for its thread without end.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.under_way = 0
        self.changed = 0.0
        self.ended = False

    def call(self, function, values):
        self._change(1)
        try:
            if self.ended:
                raise StopIteration
            return function(*values)
        finally:
            self._change(-1)

    def _change(self, number):
        with self.lock:
            self.under_way += number
            self.changed = time.monotonic()

    def end(self):
        """Let further calls fail; return when none is under way, nor was one a moment ago."""
        self.ended = True
        deadline = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < deadline and (
            self.under_way or time.monotonic() < self.changed + QUIET_SECONDS
        ):
            # A thread between two calls notifies nobody, so that only time tells.
            time.sleep(QUIET_SECONDS / 10)


_calls = Calls()
atexit.register(_calls.end)
