"""What is wrong with audio files, found by processes that may crash or hang."""

import multiprocessing
import os
import re
import signal
import tempfile
import time
from multiprocessing.connection import wait

import numpy as np

from keras_asit.data.decoding import (
    UNREADABLE,
    mix_down,
    open_audio,
    read_blocks,
    reason_of,
)

SILENCE = 1e-4
CANCELLED = 0.01
CLIPPED_RUN = 5
# The largest positive value of a format is a step below 1.
FULL_SCALE = {"PCM_U8": 127 / 128, "PCM_S8": 127 / 128}
# What programs state that write to a pipe and do not know the length yet.
UNKNOWN_LENGTH = 0x7FFF0000
DEFECTS = ("unreadable", "truncated", "silent", "cancelled", "clipped")
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
            `"silent"`, `"cancelled"` and `"clipped"`.
        - `"duration"`: float, in seconds; of an unreadable file, of the blocks of 4 million
            samples that could be decoded.
        - `"sample_rate"`: int, in Hz, and `"channels"`: int. `None` if the header is unreadable.
        - `"peak"`: float. The largest magnitude of a sample, 1 being full scale.
        - `"unreadable"`: bool.
        - `"truncated"`: bool. Whether the file ends before the length that its header states,
            or without the mark of its end. A FLAC or CAF file that does is unreadable.
        - `"silent"`: bool. Whether no sample is above 0.0001 (-80 dB).
        - `"cancelled"`: bool. Whether no sample is above that, or above 0.01 of the peak (-40 dB),
            once the channels are mixed down, though the file is not silent: because one is the
            other with its sign changed, but for what an encoder lost.
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
            num_frames, mixed_peak = _measure(file, record)
            record["why"] = _find_truncation(file, num_frames)
        if not num_frames:
            raise ValueError("has no samples")
    except UNREADABLE as error:
        record |= {"unreadable": True, "why": reason_of(error)}
    else:
        record |= {"truncated": bool(record["why"]), "silent": record["peak"] <= SILENCE}
        faint = max(SILENCE, CANCELLED * record["peak"])
        record["cancelled"] = mixed_peak <= faint and not record["silent"]
    record["verdict"] = next((defect for defect in DEFECTS if record[defect]), "ok")
    return record


def _measure(file, record):
    """Read a file to its end, keeping the record up to date.

    Returns its number of frames, and the peak of the mean of its channels.
    """
    full_scale = FULL_SCALE.get(file.subtype, 0.9999)
    num_frames, mixed_peak = 0, 0.0
    for block in read_blocks(file):
        magnitude = np.abs(block)
        num_frames += len(block)
        record["duration"] = num_frames / file.samplerate
        record["peak"] = max(record["peak"], float(magnitude.max()))
        # Raises what would make a dataset skip the file.
        mixed_peak = max(mixed_peak, float(np.abs(mix_down(block)).max()))
        record["clipped"] = record["clipped"] or _has_run(magnitude >= full_scale)
    return num_frames, mixed_peak


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
    if missing := getattr(file, "missing_frames", 0):
        return f"ends early: {missing} of the frames stated are missing or damaged"
    # Of MPEG audio of layer II it is an estimate, from the size of a frame.
    if num_frames < (0.99 if file.subtype == "MPEG_LAYER_II" else 1) * file.frames:
        return f"ends early: {file.frames} samples stated, {num_frames} there"
    return ""


def isolated_map(function, items, *, num_workers, timeout):
    """Yield the outcome of a function for each item, in order, from processes.

    That is its result and `None`, or the first error that a library in C printed of the item; or
    `None` and a str: `"crashed"`, `"timed out"` after `timeout` seconds, or the exception that it
    raised. `concurrent.futures` gives up when a process dies and waits for one that hangs; here
    the process is replaced, and all goes on. Items are taken as processes become free, so that
    there may be many.
    """
    items, following, outcomes = enumerate(items), 0, {}
    # By connection, a process and the index and deadline of the item that it works on.
    processes, begun = {}, {}
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
            for connection in wait(begun, max(0.01, soonest - time.monotonic())):
                index, deadline = begun.pop(connection)
                try:
                    outcomes[index] = connection.recv()
                except (EOFError, OSError):
                    late = time.monotonic() >= deadline
                    outcomes[index] = None, "timed out" if late else "crashed"
                    processes.pop(connection).join()
            for connection, (_, deadline) in begun.items():
                if time.monotonic() >= deadline:
                    processes[connection].kill()
    finally:
        for process in processes.values():
            process.kill()
            process.join()


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
    # Decoders written in C print lines there that do not say which file they are about.
    printed = tempfile.TemporaryFile()  # noqa: SIM115, the process ends with it.
    os.dup2(printed.fileno(), 2)
    connection.send("ready")
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            printed.truncate(0)
            os.lseek(2, 0, os.SEEK_SET)
            result = function(item)
            printed.seek(0)
            complaint = re.search(rb"error: *(.*\S)", printed.read())
            answer = result, complaint and complaint[1].decode(errors="replace")
        except Exception as error:
            answer = None, f"{type(error).__name__}: {error}"
        connection.send(answer)
