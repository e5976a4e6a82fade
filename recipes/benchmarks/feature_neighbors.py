"""What the nearest neighbor of a spoken digit shares with it, by frozen features.

    python recipes/benchmarks/feature_neighbors.py --data DATA --preset runs/small/teacher

Features are those of `features.py`; neighbors are nearest by the cosine similarity of standardized
features among the recordings of DATA/fsdd/recordings that are not for the test. In percent: how
many neighbors say the same digit, are of the same speaker, as long as the recording (10 %), and as
loud (1 dB); and, of neighbors by another speaker only, how many say the same digit. The first row
is that of any two recordings. The effective rank tells in how many dimensions the standardized
features lie: the exponential of the entropy of singular values, as shares of their sum.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from feature_extractors import Cache, asit, averages, embed
from feature_tasks import read_task
from features import print_row

from keras_asit.data import decode_audio
from keras_asit.metrics import SecondMoment

SAMPLE_RATE = 8000
LENGTH, LOUDNESS = np.log(1.1), 1.0


def main():
    arguments = parse_arguments()
    try:
        compare(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"feature_neighbors.py: {error}")


def compare(arguments):
    task = read_task("fsdd-digits", arguments.data)
    kept = np.flatnonzero(task.parts != "test")
    sounds = Sounds([task.paths[index] for index in kept])
    names = [*sounds.shared, "digit, other speaker", "effective rank"]
    print_row("features", *names)
    print_row(*["---"] * (1 + len(names)))
    print_row("(any two)", *sounds.shares_of_all(), "")
    cache = Cache(arguments.cache)
    features = [*averages(), *(each for preset in arguments.preset for each in asit(preset))]
    for each in features:
        vectors = standardize(embed(each, task, arguments.seed, cache)[kept])
        print_row(each.name, *sounds.shares_of_nearest(vectors), f"{effective_rank(vectors):.0f}")


class Sounds:
    """Which pairs of recordings share what, a matrix each."""

    def __init__(self, paths):
        # Of names such as 7_jackson_12.wav.
        digits, speakers, _ = np.array([Path(path).stem.split("_") for path in paths]).T
        waveforms = [decode_audio(path, sample_rate=SAMPLE_RATE) for path in paths]
        lengths = np.log([len(waveform) for waveform in waveforms])
        loudness = 10 * np.log10([np.mean(waveform**2) for waveform in waveforms])
        self.shared = {
            "digit": digits[:, None] == digits,
            "speaker": speakers[:, None] == speakers,
            "length": abs(lengths[:, None] - lengths) < LENGTH,
            "loudness": abs(loudness[:, None] - loudness) < LOUDNESS,
        }
        self.others = ~np.eye(len(paths), dtype=bool)

    def shares_of_all(self):
        """Return how many of all pairs share each, as text."""
        cells = [percent(same[self.others].mean()) for same in self.shared.values()]
        return [*cells, percent(self.shared["digit"][~self.shared["speaker"]].mean())]

    def shares_of_nearest(self, vectors):
        """Return how many nearest neighbors share each, as text."""
        neighbors = nearest(vectors, self.others)
        rows = np.arange(len(neighbors))
        cells = [percent(same[rows, neighbors].mean()) for same in self.shared.values()]
        neighbors = nearest(vectors, ~self.shared["speaker"])
        return [*cells, percent(self.shared["digit"][rows, neighbors].mean())]


def nearest(vectors, allowed):
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.where(allowed, directions @ directions.T, -np.inf).argmax(axis=1)


def standardize(vectors):
    # In float32, the rounding of the mean would be all that a constant feature has.
    vectors = vectors.astype("float64")
    vectors -= vectors.mean(axis=0)
    return vectors / np.maximum(vectors.std(axis=0), 1e-6)


def effective_rank(vectors):
    moment = SecondMoment(vectors.shape[1])
    moment.update_state(vectors)
    return moment.effective_rank()


def percent(share):
    return f"{100 * share:.1f}"


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("data"), help="of data sets (default: %(default)s)")
    add("--preset", action="append", default=[], help="name or folder; may be given several times")
    add("--seed", type=int, default=0, help="of untrained networks (default: %(default)s)")
    add("--cache", type=Path, default=Path("runs/features"), help="(default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
