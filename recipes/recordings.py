"""Work through many recordings: which, with which network, and in parts that outlast an end."""

import hashlib
import itertools
import json
import operator
import os
import shutil
import sys
from pathlib import Path

import keras
import numpy as np

import keras_asit
from keras_asit._files import replacing
from keras_asit.data.decoding import UNREADABLE

MANIFESTS = (".txt", ".csv", ".json")


def read_recordings(sources):
    """Return the paths of the recordings in a folder or a manifest, or audio files as given."""
    alone = sources[0] if len(sources) == 1 else ""
    if os.path.isdir(alone) or alone.lower().endswith(MANIFESTS):
        return keras_asit.data.read_manifest(alone)
    return keras_asit.data.read_manifest(sources)


def load_task(source, kind, load_published, num_heads=None):
    """Return a task of a class: a preset, a .keras file, or a published PyTorch file."""
    suffix = Path(source).suffix
    if suffix in (".pt", ".pth"):
        return load_published(source, num_heads=num_heads)
    if suffix != ".keras":
        return kind.from_preset(source)
    task = keras.saving.load_model(source, compile=False)
    if isinstance(task, kind) and task.preprocessor is not None:
        return task
    raise ValueError(
        f"{source} must hold an {kind.__name__} with a preprocessor. It holds: "
        f"{type(task).__name__}"
    )


def names_of(paths):
    """Return paths as Unicode, which tables demand; what is not UTF-8 in them is escaped."""
    return [path.encode("utf-8", "backslashreplace").decode() for path in paths]


def check_absent(output):
    """Raise `ValueError` if there is such a file already, else make the folder that it is in."""
    if output.exists():
        raise ValueError(f"{output} exists already; delete it or choose another --output.")
    output.parent.mkdir(parents=True, exist_ok=True)


class Parts:
    """Results for recordings, kept in a folder beside the output until it is written.

    The same command goes on where it was interrupted; that of another run, by its fingerprint, is
    a `ValueError`.

    Args:
        paths: list of the recordings.
        output: `Path` of what is to be written.
        fingerprint: str that tells the run from others.
        size: int. Recordings in a part.
        suffix: str. What the names of parts end in.
    """

    def __init__(self, paths, output, fingerprint, *, size, suffix):
        self.folder = output.with_name(f"{output.name}.parts")
        claim(self.folder, fingerprint)
        firsts = range(0, len(paths), size)
        self.parts = {
            self.folder / f"{first:09}{suffix}": paths[first : first + size] for first in firsts
        }

    def work(self, work, write):
        """Do what is left; return the files of all parts, in order.

        `work` is a function of paths that yields (index, result) of each that can be read, in
        order; `write` one of a file and a list of (path, result).
        """
        left = [(part, path) for part, some in self.parts.items() for path in some]
        number = len(left)
        left = [(part, path) for part, path in left if not part.exists()]
        if len(left) < number:
            print(f"{number - len(left)} of {number} recordings were done before.")

        def results():
            progress = keras.utils.Progbar(len(left), unit_name="file")
            for index, result in work([path for _, path in left]):
                progress.update(index)
                yield *left[index], result
            progress.update(len(left), finalize=True)

        done = results() if left else ()
        for part, group in itertools.groupby(done, key=operator.itemgetter(0)):
            self._write(write, part, [(path, result) for _, path, result in group])
        for part in self.parts:
            if not part.exists():  # None of its recordings could be read.
                self._write(write, part, [])
        return list(self.parts)

    def _write(self, write, part, results):
        with replacing(part) as temporary:
            write(temporary, results)

    def clear(self):
        shutil.rmtree(self.folder)


def fingerprint(backbone, paths, *settings):
    """Return what tells a run from every other one whose parts must not be mixed with its own."""
    settings = [paths, backbone.get_config(), *settings]
    digest = hashlib.sha256(json.dumps(settings, default=str).encode())
    for weight in backbone.get_weights():
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()


def claim(folder, fingerprint):
    """Make the folder of the parts, or raise `ValueError` if it is another run's."""
    folder.mkdir(exist_ok=True)
    file = folder / "fingerprint.txt"
    if not file.exists():
        with replacing(file) as temporary:
            temporary.write_text(fingerprint)
    elif file.read_text() != fingerprint:
        raise ValueError(
            f"{folder} holds parts of a run with other recordings, weights or flags; delete it "
            "or choose another --output."
        )


def list_unreadable(paths, readable):
    """Say which of the recordings could not be read, and why; if none could, raise `ValueError`."""
    unreadable = sorted(set(paths) - set(readable))
    if len(unreadable) == len(set(paths)):
        raise ValueError(f"None of the recordings could be read. {reason_of(unreadable[0])}")
    if unreadable:
        print(f"{len(unreadable)} of {len(paths)} recordings could not be read:", file=sys.stderr)
    for path in unreadable:
        print(f"  {reason_of(path)}", file=sys.stderr)


def reason_of(path):
    try:
        keras_asit.data.decode_audio(path)
    except UNREADABLE as error:
        return names_of([str(error)])[0]
    return f"{names_of([path])[0]} can be read by now"
