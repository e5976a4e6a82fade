"""A folder of checkpoints, each of which is there whole or not at all."""

import json
import os
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np

from keras_asit._files import PARTIAL, replacing, write_whole

# What reading a damaged file ends in, wherever the damage is. A zip file checks each member.
DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)
STATE = "state"


class CheckpointFolder:
    """Writes, verifies, reads and prunes checkpoints: files of arrays and of a state, as JSON.

    Of them, `keep` of the newest stay, and the one saved at the best value by `better`, a function.
    """

    def __init__(self, folder, keep, better):
        self.folder = Path(folder)
        self.keep = keep
        self.better = better

    def paths(self):
        """Return the paths of all checkpoints, oldest first."""
        return sorted(self.folder.glob("checkpoint-*.npz"))

    def write(self, name, arrays, state):
        """Write a checkpoint, and remove others; on an error, they are as they were."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # NumPy's files do not know bfloat16; float32 holds all its values.
        members = {
            str(index): array.astype("float32") if array.dtype.name == "bfloat16" else array
            for index, array in enumerate(arrays)
        }
        members[STATE] = np.frombuffer(json.dumps(state).encode(), "uint8")
        with replacing(self.folder / f"{name}.npz") as partial, open(partial, "wb") as file:
            np.savez(file, **members)
        best = self._best()
        for path in self.paths()[: -self.keep]:
            if path != best:
                path.unlink()

    def read_newest(self):
        """Return arrays and state of the newest checkpoint that is whole, or `None`.

        Damaged ones are set aside; if all are, `ValueError` is raised.
        """
        for path in self.folder.glob(f".checkpoint-*{PARTIAL}"):
            path.unlink()  # A killed process was writing it.
        damaged = []
        for path in reversed(self.paths()):
            try:
                arrays_and_state = _read(path)
            except DAMAGE as error:
                damaged.append((path, error))
                continue
            for other, reason in damaged:
                _set_aside(other, reason, f"Going on from {path.stem}.")
            return arrays_and_state
        if damaged:
            reasons = "; ".join(f"{path.name}: {reason}" for path, reason in damaged)
            raise ValueError(
                f"All checkpoints in {self.folder} are damaged: {reasons}. Remove them to start "
                "anew."
            )
        return None

    def read_best(self):
        """Return arrays and state of the checkpoint that was saved at the best value, or `None`."""
        best = self._best()
        return best and _read(best)

    def _best(self):
        """Return the path of the best, or `None`; set aside what is damaged."""
        values = {}
        for path in self.paths():
            try:
                with np.load(path) as file:
                    value = _state(file)["monitored"]
            except DAMAGE as error:
                _set_aside(path, error, "It is set aside.")
                continue
            if value is not None and not np.isnan(value):
                values[path] = value
        return self.better(values, key=values.get, default=None)

    def check_writable(self, size):
        """Raise `OSError` unless all checkpoints of `size` bytes can be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        probe = self.folder / "probe"
        write_whole(probe, b"probe")
        probe.unlink()
        # The best, those kept, and the one being written, less those already there.
        missing = max(1, self.keep + 2 - len(self.paths()))
        free = shutil.disk_usage(self.folder).free
        if free < missing * size:
            raise OSError(
                f"{self.folder} has room for {free / 2**30:.2f} GiB, but {missing} checkpoints "
                f"need {missing * size / 2**30:.2f} GiB. Free space, keep fewer, or choose "
                "another folder."
            )


def _set_aside(path, error, what_follows):
    warnings.warn(f"Damaged checkpoint: {path}: {error}. {what_follows}", stacklevel=3)
    os.replace(path, path.with_name(f"damaged-{path.name}"))


def _read(path):
    with np.load(path) as file:
        return [file[str(index)] for index in range(len(file.files) - 1)], _state(file)


def _state(file):
    return json.loads(file[STATE].tobytes())
