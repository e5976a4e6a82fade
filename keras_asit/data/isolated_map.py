"""A function applied to many items by processes that may crash or hang."""

import multiprocessing
import multiprocessing.connection
import signal
import time


def isolated_map(function, items, num_workers, timeout):
    """Yield `(result, failure)` of a function for each item, in order.

    `concurrent.futures` gives up when a process dies and waits for one that hangs. Here the
    process is replaced, the item's failure noted, and all goes on.

    Args:
        function: A function that processes can import.
        items: iterable. Taken as workers become free, so that it may be long.
        num_workers: int. Number of processes.
        timeout: float. Seconds after which an item is given up.

    Yields:
        The function's result and `None`; or `None` and a str: `"crashed"`, `"timed out"`, or
        the exception that the function raised.
    """
    context = _context()
    items = enumerate(items)
    finished, following = {}, 0
    workers = [_Worker(context, function, timeout) for _ in range(num_workers)]
    try:
        busy = [worker for worker in workers if worker.begin(items)]
        while busy:
            soonest = min(worker.deadline for worker in busy)
            connections = [worker.connection for worker in busy]
            multiprocessing.connection.wait(connections, max(0, soonest - time.monotonic()))
            for worker in busy:
                outcome = worker.outcome()
                if outcome is not None:
                    finished[worker.index] = outcome
                    worker.index = None
            busy = [worker for worker in busy if worker.index is not None or worker.begin(items)]
            while following in finished:
                yield finished.pop(following)
                following += 1
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A process that answers each item it is sent."""

    def __init__(self, context, function, timeout):
        self.context = context
        self.function = function
        self.timeout = timeout
        self.index = None
        self._start()

    def begin(self, items):
        """Send the next item, if any; return whether there was one."""
        self.index, item = next(items, (None, None))
        if self.index is not None:
            self.connection.send(item)
            self.deadline = time.monotonic() + self.timeout
        return self.index is not None

    def outcome(self):
        """Return result and failure, or `None` if the item is still being worked on."""
        if self.connection.poll():
            try:
                return self.connection.recv()
            except (EOFError, ConnectionError):
                return self._give_up("crashed")
        if time.monotonic() >= self.deadline:
            return self._give_up("timed out")
        return None

    def stop(self):
        self.process.kill()
        self.process.join()
        self.connection.close()

    def _give_up(self, failure):
        self.stop()
        self._start()
        return None, failure

    def _start(self):
        self.connection, theirs = self.context.Pipe()
        self.process = self.context.Process(
            target=_answer, args=(self.function, theirs), daemon=True
        )
        self.process.start()
        theirs.close()
        # Importing takes seconds, which do not count as an item's.
        self.connection.recv()


def _answer(function, connection):
    # Ctrl-C is for the parent, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.send("ready")
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            answer = function(item), None
        except Exception as error:
            answer = None, f"{type(error).__name__}: {error}"
        connection.send(answer)


def _context():
    """Return how processes start: forked from one that has imported this, where possible."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context
