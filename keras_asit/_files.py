"""Files and folders that are whole or not there, and of one process at a time."""

import contextlib
import hashlib
import os
import uuid
import warnings
from pathlib import Path

PARTIAL = ".partial"


@contextlib.contextmanager
def replacing(path):
    """Yield a path to write to, which takes the place of `path` once the disk has all of it.

    Whatever goes wrong before, `path` is as it was and nothing is left beside it. Each call has a
    name of its own, since two processes may write the same file at once.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        yield partial
        synchronize(partial)
        os.replace(partial, path)
        synchronize(path.parent)
    except OSError as error:
        # Where writing fails, and not opening, the error does not say to which file.
        if error.errno is not None:
            error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path, content):
    """Write bytes to a file that either is whole or stays as it was."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def synchronize(path):
    """Wait until the disk has a file, or the names in a folder."""
    if os.path.isdir(path) and os.name != "posix":  # Windows has no descriptors of folders.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path):
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked_folder(folder):
    """Keep a folder, made if needed, for this process, or raise `OSError` if another has it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    if os.name != "posix":  # Windows has no such locks.
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                f"{folder} is in use by another process. Wait for it, or choose another folder."
            ) from None
        except OSError as error:
            # Some network file systems have no locks of folders.
            warnings.warn(
                f"{folder} cannot be locked against other processes: {error}", stacklevel=3
            )
        yield
    finally:
        os.close(descriptor)
