"""A folder of checkpoints, each of which is there whole or not at all."""

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np

ARRAYS = "variables.npz"
STATE = "state.json"


class CheckpointFolder:
    """Writes, verifies, reads and prunes checkpoints.

    A checkpoint is a folder of arrays and of JSON, which holds the arrays' checksum and, last,
    its own. It is written under another name, synchronized to the disk, and renamed: whoever
    is killed in between leaves an unfinished folder that is never read.

    Args:
        folder: str or `os.PathLike`. Made if needed.
        keep: int. How many of the newest are kept.
    """

    def __init__(self, folder, keep):
        self.folder = Path(folder)
        self.keep = keep

    def names(self):
        """Return the names of all checkpoints, oldest first."""
        return sorted(path.name for path in self.folder.glob("checkpoint-*"))

    def write(self, name, arrays, state):
        """Write a checkpoint; on an error, leave those before as they were."""
        unfinished = self.folder / f"unfinished-{name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.mkdir()
            with open(unfinished / ARRAYS, "wb") as file:
                np.savez(file, **{str(index): array for index, array in enumerate(arrays)})
                _synchronize(file)
            state = {**state, "checksum": _checksum(unfinished / ARRAYS)}
            with open(unfinished / STATE, "w", encoding="utf-8") as file:
                text = json.dumps(state)
                file.write(f"{text}\n{hashlib.sha256(text.encode()).hexdigest()}\n")
                _synchronize(file)
            _synchronize_folder(unfinished)
            if (self.folder / name).exists():
                self._set_aside(name, "unfinished-old")
            os.replace(unfinished, self.folder / name)
            _synchronize_folder(self.folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def read(self, name):
        """Return arrays and state of a checkpoint.

        Raises:
            ValueError: If anything is missing or differs from its checksum.
        """
        path = self.folder / name
        try:
            state = self.read_state(name)
            if _checksum(path / ARRAYS) != state["checksum"]:
                raise ValueError(f"{path / ARRAYS} differs from its checksum")
            with np.load(path / ARRAYS) as file:
                return [file[str(index)] for index in range(len(file.files))], state
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error

    def read_state(self, name):
        """Return only the state of a checkpoint."""
        path = self.folder / name / STATE
        try:
            text, checksum, _ = path.read_bytes().split(b"\n")
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is missing or cut") from error
        if hashlib.sha256(text).hexdigest().encode() != checksum:
            raise ValueError(f"{path} differs from its checksum")
        return json.loads(text)

    def monitored(self, name):
        """Return the value that a checkpoint was saved at; `None` if it has none or is damaged."""
        try:
            return self.read_state(name)["monitored"]
        except ValueError as error:
            warnings.warn(f"Damaged checkpoint: {error}. It is set aside.", stacklevel=2)
            self._set_aside(name, "damaged")
            return None

    def _set_aside(self, name, prefix):
        other = self.folder / f"{prefix}-{name}"
        # An earlier one of this name would be in the way.
        shutil.rmtree(other, ignore_errors=True)
        os.replace(self.folder / name, other)

    def read_newest(self):
        """Return arrays and state of the newest checkpoint that is whole, or `None`.

        Damaged ones are named in a warning and set aside.

        Raises:
            ValueError: If there are checkpoints, but all are damaged.
        """
        self.remove_unfinished()
        damaged = []
        for name in reversed(self.names()):
            try:
                arrays_and_state = self.read(name)
            except ValueError as error:
                damaged.append((name, error))
                continue
            for other, error in damaged:
                warnings.warn(f"Damaged checkpoint: {error}. Going on from {name}.", stacklevel=2)
                self._set_aside(other, "damaged")
            return arrays_and_state
        if damaged:
            raise ValueError(
                f"All checkpoints in {self.folder} are damaged: "
                f"{'; '.join(str(error) for _, error in damaged)}. Remove them to start anew."
            )
        return None

    def prune(self, best):
        """Remove all but the newest and `best`."""
        for name in self.names()[: -self.keep]:
            if name != best:
                # Renamed first: what is half removed must not look like a checkpoint.
                unfinished = self.folder / f"unfinished-{name}"
                os.replace(self.folder / name, unfinished)
                shutil.rmtree(unfinished)

    def remove_unfinished(self):
        """Remove what a killed process was writing or removing."""
        for path in self.folder.glob("unfinished-*"):
            shutil.rmtree(path)

    def check_writable(self, size):
        """Raise `OSError` unless all checkpoints of `size` bytes can be written."""
        probe = self.folder / "unfinished-probe"
        probe.mkdir(parents=True)
        try:
            with open(probe / STATE, "wb") as file:
                file.write(b"probe")
                _synchronize(file)
        finally:
            shutil.rmtree(probe, ignore_errors=True)
        # The best, those kept, and the one being written, less those already there.
        missing = max(1, self.keep + 2 - len(self.names()))
        free = shutil.disk_usage(self.folder).free
        if free < missing * size:
            raise OSError(
                f"{self.folder} has room for {free / 2**30:.2f} GiB, but {missing} checkpoints "
                f"need {missing * size / 2**30:.2f} GiB. Free space, keep fewer, or choose "
                "another folder."
            )


def storable(array):
    """Return an array with the same values, of a type that NumPy's files know."""
    # They do not know bfloat16; float32 holds all its values.
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _checksum(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _synchronize(file):
    file.flush()
    os.fsync(file.fileno())


def _synchronize_folder(path):
    if os.name == "posix":  # Windows has no file descriptors of folders.
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
