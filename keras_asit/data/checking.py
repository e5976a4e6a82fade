"""What is wrong with audio files, found by processes that may crash or hang."""

import multiprocessing
import os
import re
import signal
import time
from multiprocessing.connection import wait

import numpy as np

from keras_asit.data.decoding import mix_down, open_audio, read_blocks

SILENCE = 1e-4
CLIPPED_RUN = 5
# The largest positive value of a format is a step below 1.
FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128}
# What programs state that write to a pipe and do not know the length yet.
UNKNOWN_LENGTH = 0x7FFF0000
DEFECTS = ("unreadable", "truncated", "silent", "clipped")
COLUMNS = ("path", "verdict", "duration", "sample_rate", "channels", "peak", *DEFECTS, "why")


def check_audio(path: str | os.PathLike) -> dict:
    """Return a record of what an audio file holds and of what is wrong with it.

    The whole file is read, in blocks of bounded memory. What is unreadable here is what the
    datasets skip; all else they use, whatever its defects.

    Args:
        path: str or `os.PathLike`. Any file that `decode_audio` reads.

    Returns:
        A dict, in this order:

        - `"path"`: str.
        - `"verdict"`: str. `"ok"`, or the first that holds of `"unreadable"`, `"truncated"`,
          `"silent"` and `"clipped"`.
        - `"duration"`: float, in seconds; of an unreadable file, of the blocks of 4 million
          samples before the damage.
        - `"sample_rate"`: int, in Hz, and `"channels"`: int. `None` if the header is unreadable.
        - `"peak"`: float. The largest magnitude of a sample, 1 being full scale.
        - `"unreadable"`: bool.
        - `"truncated"`: bool. Whether the file ends before the length that its header states,
          or without the mark of its end. A FLAC or CAF file that does is unreadable.
        - `"silent"`: bool. Whether no sample is above 0.0001 (-80 dB).
        - `"clipped"`: bool. Whether 5 samples of a channel in a row are at full scale.
        - `"why"`: str. The reason, if unreadable or truncated.

    Example:

    ```python
    record = keras_asit.data.check_audio("recording.wav")
    if record["verdict"] != "ok":
        print(record["path"], record["verdict"], record["why"])
    ```
    """
    path = os.fspath(path)
    record = dict.fromkeys(COLUMNS) | dict.fromkeys(DEFECTS, False)
    record |= {"path": path, "duration": 0.0, "peak": 0.0, "why": ""}
    try:
        with open_audio(path) as file:
            record |= {"sample_rate": file.samplerate, "channels": file.channels}
            num_frames = _measure(file, record)
            record["why"] = _find_truncation(file, num_frames)
        if not num_frames:
            raise ValueError("has no samples")
    except (OSError, RuntimeError, ValueError) as error:
        record |= {"unreadable": True, "why": str(getattr(error, "error_string", error))}
    else:
        record |= {"truncated": bool(record["why"]), "silent": record["peak"] <= SILENCE}
    record["verdict"] = next((defect for defect in DEFECTS if record[defect]), "ok")
    return record


def _measure(file, record):
    """Read a file to its end, keeping the record up to date; return its number of frames."""
    full_scale = FULL_SCALE.get(file.subtype, 0.9999)
    num_frames = 0
    for block in read_blocks(file):
        mix_down(block)  # Raises what would make a dataset skip the file.
        magnitude = np.abs(block)
        num_frames += len(block)
        record["duration"] = num_frames / file.samplerate
        record["peak"] = max(record["peak"], float(magnitude.max()))
        record["clipped"] = record["clipped"] or _has_run(magnitude >= full_scale)
    return num_frames


def _has_run(full):
    """Return whether `CLIPPED_RUN` rows in a row are true in any column."""
    if len(full) < CLIPPED_RUN or not full.any():
        return False
    windows = np.lib.stride_tricks.sliding_window_view(full, CLIPPED_RUN, axis=0)
    return bool(windows.all(axis=-1).any())


def _find_truncation(file, num_frames):
    """Return why a file is thought to end early, or an empty string."""
    # libsndfile corrects lengths that exceed the file, and tells so only in its log.
    log = file.extra_info
    chunks = "data|SSND|Data Size|riff|Riff size"
    corrected = re.findall(rf"(?m)^\s*(?:{chunks}) *: (\d+) \(should be (\d+)\)", log)
    for stated, actual in corrected:
        if int(actual) < int(stated) < UNKNOWN_LENGTH:
            return f"ends early: {stated} bytes stated, {actual} there"
    if "lacks an end-of-stream bit" in log:
        return "ends early: the last page of an Ogg stream is missing"
    # Of MPEG audio of a constant bit rate it often is an estimate, from the size of a frame.
    is_estimate = "bitrate mode   : constant" in log
    if num_frames < (0.99 if is_estimate else 1) * file.frames:
        return f"ends early: {file.frames} samples stated, {num_frames} there"
    return ""


def isolated_map(function, items, *, num_workers, timeout):
    """Yield `(result, failure)` of a function for each item, in order, whatever happens.

    `concurrent.futures` gives up when a process dies and waits for one that hangs. Here the
    process is replaced, the item's failure noted, and all goes on.

    Args:
        function: A function that processes can import.
        items: iterable. Taken as processes become free, so that it may be long.
        num_workers: int. Number of processes.
        timeout: float. Seconds after which an item is given up.

    Yields:
        The function's result and `None`; or `None` and a str: `"crashed"`, `"timed out"`, or
        the exception that the function raised.
    """
    items, following = enumerate(items), 0
    begun, outcomes = {}, {}
    processes = {}  # By connection, as is what each has begun: an item's index and deadline.
    try:
        while True:
            while len(processes) < num_workers:
                connection, process = _start(function)
                processes[connection] = process
            idle = [connection for connection in processes if connection not in begun]
            for connection, (index, item) in zip(idle, items):
                connection.send(item)
                begun[connection] = index, time.monotonic() + timeout
            while following in outcomes:
                yield outcomes.pop(following)
                following += 1
            if not begun:
                return
            soonest = min(deadline for _, deadline in begun.values())
            ready = wait(begun, max(0, soonest - time.monotonic()))
            for connection, (index, deadline) in list(begun.items()):
                if connection in ready:
                    outcome = _receive(connection)
                elif time.monotonic() >= deadline:
                    outcome = None, "timed out"
                else:
                    continue
                del begun[connection]
                outcomes[index] = outcome
                if outcome[1] in ("crashed", "timed out"):
                    _stop(connection, processes.pop(connection))
    finally:
        for connection, process in processes.items():
            _stop(connection, process)


def _start(function):
    """Return a connection to a new process, which answers what it is sent, and the process."""
    context = multiprocessing.get_context("spawn")
    if "forkserver" in multiprocessing.get_all_start_methods():
        # Forked from a process that has imported this.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
    connection, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(function, theirs), daemon=True)
    process.start()
    theirs.close()
    # Importing takes seconds, which do not count as an item's.
    connection.recv()
    return connection, process


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


def _receive(connection):
    try:
        return connection.recv()
    except (EOFError, ConnectionError):
        return None, "crashed"


def _stop(connection, process):
    process.kill()
    process.join()
    connection.close()
