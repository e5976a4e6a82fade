"""Recipes in processes of their own, forked from one that has imported what takes seconds."""

import functools
import importlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def start_process(command, log, *, anew=False):
    """Start a recipe, `[path, *flags]`, whose lines go to the end of a file.

    One that starts `anew` is no fork, which has Python's hash seed in common with others.
    """
    command = [str(part) for part in command]
    if anew:
        with open(log, "a") as file:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
            return subprocess.Popen([sys.executable, *command], **pipes)
    request = {"command": command, "log": str(Path(log).absolute()), "environ": dict(os.environ)}
    return Process(_ask(request))


class Process:
    """What tests need of `subprocess.Popen`."""

    def __init__(self, number):
        self.number = number
        self.status = None

    def poll(self):
        if self.status is None:
            self.status = _ask({"number": self.number})
        return self.status

    def wait(self, timeout=float("inf")):
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.number} has not ended in {timeout} s")
            # Nothing waits for the child of another process, and until a time; as in `subprocess`.
            time.sleep(0.01)
        return self.status

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.number, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def _ask(request):
    server = _server()
    try:
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())
    except (OSError, ValueError):
        _server.cache_clear()
        raise RuntimeError(
            f"What forks recipes does not answer, status {server.poll()}: see its lines above."
        ) from None


@functools.cache
def _server():
    command = [sys.executable, __file__]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, cwd=Path(__file__).parents[1], text=True, **pipes)


def serve():
    """Answer requests: for a process with its number, for its status with that or nothing."""
    answers = os.fdopen(os.dup(1), "w")
    # What an import prints is no answer.
    os.dup2(2, 1)
    # Before any fork: this is what takes seconds.
    importlib.import_module("keras_asit.models")

    for line in sys.stdin:
        request = json.loads(line)
        if "command" in request:
            answer = os.fork()
            if not answer:
                answers.close()
                return run(**request)
        else:
            number, status = os.waitpid(request["number"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if number else None
        print(json.dumps(answer), file=answers, flush=True)


def run(command, log, environ):
    with open(os.devnull) as empty, open(log, "a") as file:
        for stream, descriptor in ((empty, 0), (file, 1), (file, 2)):
            os.dup2(stream.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(environ)
    # Forks are not to draw the same numbers.
    random.seed()
    np.random.seed()
    sys.argv = command
    # As Python does: the folder of the recipe instead of that of this file.
    sys.path[0] = str(Path(command[0]).parent)
    runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    serve()
