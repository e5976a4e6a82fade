"""Time exports of a classifier in their runtimes beside Keras: clips a second, sizes, differences.

All take turns in one process, the runtimes on one thread each, with waveforms that fill a window,
and the fastest turn of each counts. The classifier is a preset's backbone with 527 classes that are
not trained. That Keras has one thread too, say so:

    OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 python recipes/benchmarks/runtimes.py asit_base_16k

Needs the extra `export`.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_asit.data import read_manifest
from keras_asit.exporting import ExportedModel
from keras_asit.exporting.exports import Export, export_together
from keras_asit.exporting.formats import FORMATS
from keras_asit.models import ASiTAudioClassifier

AUDIO = Path(__file__).parents[1] / "quickstart_audio"
NUM_CLASSES = 527


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", metavar="PRESET")
    parser.add_argument("--clips", type=int, default=1, help="in a batch (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=10, help="(default: %(default)s)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*architecture without weights")
    classifier = ASiTAudioClassifier.from_preset(arguments.preset, num_classes=NUM_CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        compare(classifier, Path(folder), arguments)


def compare(classifier, folder, arguments):
    forms = [(name, False) for name in FORMATS]
    forms += [(name, True) for name, kind in FORMATS.items() if kind.quantizes]
    names = [f"{name}{', int8' * quantize}" for name, quantize in forms]
    exports = [
        Export(
            classifier,
            folder / f"{'int8_' * quantize}network{FORMATS[name].suffix}",
            quantize=quantize,
            recordings=read_manifest(str(AUDIO))[::20],
        )
        for name, quantize in forms
    ]
    reports = export_together(exports)
    converter, network = exports[0].converter, exports[0].network
    length = round(converter.seconds * converter.sample_rate)
    generator = np.random.default_rng(1)
    waveforms = generator.uniform(-0.5, 0.5, (arguments.clips, length)).astype("float32")
    runs = {f"Keras, {keras.config.backend()}": keras_run(network, converter)}
    runs |= {name: ExportedModel(each.path, 1) for name, each in zip(names, exports)}
    times = {name: [] for name in runs}
    # Two turns more: the first ones compile.
    for _ in range(2 + arguments.turns):
        for name, run in runs.items():
            start = time.perf_counter()
            run(waveforms)
            times[name].append(time.perf_counter() - start)
    print(f"{arguments.preset}, {arguments.clips} clips of {converter.seconds:.2f} s in a batch")
    rates = {name: arguments.clips / min(seconds[2:]) for name, seconds in times.items()}
    (keras_name, keras_rate), *others = rates.items()
    print(f"  {keras_name:22}{keras_rate:8.2f} clips/s")
    for (name, rate), report in zip(others, reports):
        print(
            f"  {name:22}{rate:8.2f} clips/s, {rate / keras_rate:.2f} times as fast,"
            f" {report['bytes'] / 1e6:6.1f} MB, difference {report['difference']:.1e}, relative"
            f" {report['relative_difference']:.1e}"
        )


def keras_run(network, converter):
    return lambda waveforms: network.predict_on_batch(converter(waveforms))


if __name__ == "__main__":
    main()
