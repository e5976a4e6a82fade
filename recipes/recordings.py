"""Work through many recordings: which, with which network, and in parts that outlast an end."""

import contextlib
import hashlib
import itertools
import json
import operator
import os
import shutil
import sys
from pathlib import Path

import lazy_loader
import numpy as np

keras_asit = lazy_loader.load("keras_asit")


def read_recordings(sources):
    """Return the paths of the recordings in folders and manifests, and of audio files."""
    paths = []
    for source in sources:
        is_file = not os.path.isdir(source) and not source.lower().endswith(
            keras_asit.data.sources.MANIFESTS
        )
        paths += keras_asit.data.read_manifest([source] if is_file else source)
    return paths


def load_task(source, kind, load_published, num_heads=None):
    """Return a task of a class: a preset, a .keras file, or a published PyTorch file."""
    import keras

    suffix = Path(source).suffix
    if suffix in (".pt", ".pth"):
        return load_published(source, num_heads=num_heads)
    if suffix != ".keras":
        try:
            return kind.from_preset(source)
        except ValueError as error:
            if f"`{kind.size_argument}` must be given" not in str(error):
                raise
            raise ValueError(
                f"{source} is not a preset of an {kind.__name__}. Train one from it: what "
                "finetune.py then saves is one of an ASiTAudioClassifier, for label.py; what "
                "train_events.py saves one of an ASiTEventDetector, for detect_events.py."
            ) from error
    task = keras.saving.load_model(source, compile=False)
    if isinstance(task, kind) and task.preprocessor is not None:
        return task
    raise ValueError(
        f"{source} must hold an {kind.__name__} with a preprocessor. It holds: "
        f"{type(task).__name__}"
    )


def name_of(path):
    """Return a path as Unicode, which tables demand; what is not UTF-8 in it is escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


def read_waveforms(paths, sample_rate):
    """Yield (index, waveform) of each recording that can be read."""
    for index, path in enumerate(paths):
        with contextlib.suppress(*keras_asit.data.decoding.UNREADABLE):  # It is listed at the end.
            yield index, keras_asit.data.decode_audio(path, sample_rate=sample_rate)


def check_absent(*outputs):
    """Raise `ValueError` if there is an output already, else make the folders that they are in.

    Outputs of which there are parts yet are of an interrupted run.
    """
    existing = [output for output in outputs if output.exists()]
    if existing and not parts_of(outputs[0]).exists():
        raise ValueError(f"{existing[0]} exists already; delete it or choose another --output.")
    for output in outputs:
        output.parent.mkdir(parents=True, exist_ok=True)


def parts_of(output):
    return output.with_name(f"{output.name}.parts")


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
        self.folder = parts_of(output)
        self.fingerprint = fingerprint
        self.claim = self.folder / "fingerprint.txt"
        if self.claim.exists() and self.claim.read_text() != fingerprint:
            raise ValueError(
                f"{self.folder} holds parts of a run with other recordings, weights or flags; "
                "delete it or choose another --output."
            )
        firsts = range(0, len(paths), size)
        self.parts = {
            self.folder / f"{first:09}{suffix}": paths[first : first + size] for first in firsts
        }

    def work(self, work, write):
        """Do what is left; return the files of all parts of which anything can be read, in order.

        `work` is a function of paths that yields (index, result) of each that can be read, in
        order; `write` one of a file and a list of (path, result).
        """
        import keras

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
            results = [(path, result) for _, path, result in group]
            self.folder.mkdir(exist_ok=True)
            keras_asit._files.write_whole(self.claim, self.fingerprint.encode())
            with keras_asit._files.replacing(part) as temporary:
                write(temporary, results)
        return [part for part in self.parts if part.exists()]

    def clear(self):
        shutil.rmtree(self.folder)


def fingerprint(backbone, paths, *settings):
    """Return what tells a run from every other one whose parts must not be mixed with its own."""
    settings = [paths, backbone.get_config(), *settings]
    digest = hashlib.sha256(json.dumps(settings, default=str).encode())
    for weight in backbone.get_weights():
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()


def list_unreadable(paths, readable):
    """Say which of the recordings could not be read, and why; if none could, raise `ValueError`."""
    readable = set(map(name_of, readable))
    unreadable = sorted(path for path in set(paths) if name_of(path) not in readable)
    if not readable:
        raise ValueError(f"None of the recordings could be read. {reason_of(unreadable[0])}")
    if unreadable:
        print(f"{len(unreadable)} of {len(paths)} recordings could not be read:", file=sys.stderr)
    for path in unreadable:
        print(f"  {reason_of(path)}", file=sys.stderr)


def reason_of(path):
    try:
        keras_asit.data.decode_audio(path)
    except keras_asit.data.decoding.UNREADABLE as error:
        return name_of(str(error))
    return f"{name_of(path)} can be read by now"
