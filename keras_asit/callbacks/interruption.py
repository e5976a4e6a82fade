"""Ctrl-C and SIGTERM, heard but not yet obeyed."""

import signal
import threading

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
