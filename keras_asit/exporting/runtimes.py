"""Exports, opened by the runtimes that they are for."""

from pathlib import Path

import numpy as np

from keras_asit._arguments import check_integers
from keras_asit._extras import check_extra
from keras_asit.exporting.formats import FORMATS


class ExportedModel:
    """A model that `keras_asit.export` wrote, in its own runtime, on the processor, in float32.

    Args:
        path: str or `os.PathLike`. What was exported; its suffix tells the format.
        num_threads: int. Threads of the runtime; TensorFlow has those of its process. Defaults to
            `None`, what the runtime chooses.

    Call arguments:
        batch: float array, `(batch, samples)` or `(batch, frames, mels)`.

    Returns:
        A dict of arrays by the names of the outputs; `metadata`, a dict, tells what they are.

    Raises:
        ImportError: if the runtime is not installed.

    Example:
    ```python
    keras_asit.export(classifier, "classifier.tflite")
    exported = keras_asit.exporting.ExportedModel("classifier.tflite")
    logits = exported(waveforms)["logits"]  # (4, 2)
    names = exported.metadata["class_names"]  # ["cat", "dog"]
    ```
    """

    def __init__(self, path, num_threads: int | None = None):
        check_integers(1, or_none=True, num_threads=num_threads)
        kind = FORMATS[format_of(path)]
        if not Path(path).exists():
            raise FileNotFoundError(f"There is no {path}.")
        check_extra("export", *kind.packages)
        self._run, self.metadata = kind.open(str(path), num_threads)

    def __call__(self, batch) -> dict:
        return self._run(np.asarray(batch, "float32"))


def format_of(path) -> str:
    """Return the name of the format of a path, by its suffix."""
    suffix = Path(path).suffix
    for name, kind in FORMATS.items():
        if kind.suffix == suffix:
            return name
    suffixes = ", ".join(f"{kind.suffix or 'none'} ({name})" for name, kind in FORMATS.items())
    raise ValueError(f"`path` must have one of the suffixes {suffixes}. Received: {path}")
