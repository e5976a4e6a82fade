"""What published networks make of windows of recordings: the teachers of `recipes/distill.py`.

    python recipes/benchmarks/embed_peers.py RECORDINGS PEERS --output teachers.npz

Windows of --seconds cover a recording, as many as overlap by --overlap; what is shorter is one.
`feature_peers.py` says which networks are looked for in the folder PEERS; `cepstra` takes none, so
that what a recording itself says is not lost: the cosine transform of its eight averages, over time
and mels, without the loudness. The output has an array for each teacher, a row a window, and those
windows' `path` and `start` in seconds.
"""

import argparse
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import scipy.fft
from feature_extractors import SEGMENTS, log_mels, segment_means
from feature_peers import PEERS, SAMPLE_RATE, find_peer

import keras_asit
from keras_asit._files import replacing
from keras_asit.evaluation import window_starts

# Of 128: pitch is among them, and what is finer is mostly noise.
NUM_CEPSTRA = 48
TEACHERS = (*PEERS, "cepstra")


def main():
    arguments = parse_arguments()
    try:
        embed(arguments)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"embed_peers.py: {error}")


def embed(arguments):
    teachers = {name: find_teacher(name, arguments.peers) for name in arguments.teachers}
    paths = keras_asit.data.read_manifest(arguments.source)
    rows = {name: [] for name in ("path", "start", *teachers)}
    progress = keras.utils.Progbar(len(paths), unit_name="file")
    for number, path in enumerate(paths, 1):
        for start, window in windows_of(path, arguments):
            rows["path"].append(path)
            rows["start"].append(start)
            for name, teacher in teachers.items():
                rows[name].append(np.asarray(teacher(window), "float16"))
        progress.update(number)
    if not rows["path"]:
        raise ValueError(f"None of the files of {arguments.source} could be read.")
    with replacing(arguments.output) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: np.stack(values) for name, values in rows.items()})
    print(f"{len(rows['path'])} windows in {arguments.output}")


def windows_of(path, arguments):
    """Yield the start in seconds and the waveform of each window."""
    try:
        waveform = keras_asit.data.decode_audio(
            path, sample_rate=SAMPLE_RATE, max_seconds=arguments.max_seconds
        )
    except (ValueError, OSError, RuntimeError) as error:
        warnings.warn(f"Skipped: {error}", stacklevel=1)
        return
    length = round(arguments.seconds * SAMPLE_RATE)
    for start in window_starts(len(waveform), length, overlap=arguments.overlap):
        yield start / SAMPLE_RATE, waveform[start : start + length]


def find_teacher(name, folder):
    return cepstra if name == "cepstra" else find_peer(name, folder)[0]


def cepstra(waveform):
    segments = segment_means(log_mels(waveform)).reshape(SEGMENTS, -1)
    # The first of all is the loudness.
    return scipy.fft.dctn(segments, norm="ortho")[:, :NUM_CEPSTRA].ravel()[1:]


def positive_number(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text}")
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", metavar="RECORDINGS", help="folder or manifest")
    add("peers", metavar="PEERS", type=Path, help="folder of the networks' files")
    add("--teachers", nargs="+", choices=TEACHERS, default=list(TEACHERS), help="(default: all)")
    add("--seconds", type=positive_number, default=0.975, help="(default: %(default)s)")
    add("--overlap", type=float, default=0.75, help="0 to 0.9 (default: %(default)s)")
    add("--max-seconds", type=positive_number, default=30.0, help="(default: %(default)s)")
    add("--output", type=Path, required=True, help=".npz")
    return parser.parse_args()


if __name__ == "__main__":
    main()
