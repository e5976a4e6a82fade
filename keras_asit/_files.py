"""Files and folders that are whole or not there, and of one process at a time."""

import contextlib
import os
import warnings
from pathlib import Path


@contextlib.contextmanager
def locked_folder(folder):
    """Keep a folder, made if needed, for this process; it is free again when that ends.

    Raises:
        OSError: If another process has it, or it cannot be made.
    """
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
