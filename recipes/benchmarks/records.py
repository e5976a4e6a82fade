"""How many clips a second are read from records, on one core and on several.

Writes synthetic clips of 10 s at 32 kHz as records in a temporary folder and measures, each in a
process of its own that is bound to its cores, `keras_asit.data.pretraining_dataset` and, beside
it, the plain loader of `pipeline.py`, which reads the files. Every clip becomes two views of 6 s.

Reads from files in the page cache. Linux only, since processes are bound to cores.
"""

import argparse
import os
import tempfile
import time
from functools import partial

from pipeline import (
    CROP_SECONDS,
    SAMPLE_RATE,
    dataset_passes,
    limit_threads,
    measure_all,
    plain_passes,
    report,
    write_clips,
)

# What is measured: content of records, and whether it delivers spectrograms.
CASES = {
    "log-mels": ("log_mel", True),
    "waveforms": ("waveform", False),
    "waveforms to log-mels": ("waveform", True),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=64, help="different clips (default: 64)")
    parser.add_argument(
        "--repeat", type=int, default=16, help="times that each is stored (default: 16)"
    )
    parser.add_argument("--batch-size", type=int, default=16, help="default: 16")
    parser.add_argument(
        "--seconds", type=float, default=6, help="length of each measurement (default: 6)"
    )
    parser.add_argument(
        "--cores", type=int, nargs="+", default=[1, 2], help="numbers of cores (default: 1 2)"
    )
    arguments = parser.parse_args()
    available = len(os.sched_getaffinity(0))
    if max(arguments.cores) > available:
        parser.error(f"--cores: this machine has {available}")

    with tempfile.TemporaryDirectory() as folder:
        paths = write_clips(folder, arguments.clips)
        for content in ("log_mel", "waveform"):
            write(paths * arguments.repeat, f"{folder}/{content}", content)
        cases = {("plain loader", 1): partial(plain_passes, paths)}
        for cores in arguments.cores:
            for name, (content, spectrograms) in CASES.items():
                cases[name, cores] = partial(
                    record_passes, f"{folder}/{content}", spectrograms, cores, arguments.batch_size
                )
        report(measure_all(cases, arguments.seconds))


def write(paths, folder, content):
    from keras_asit.data import LabeledClips, write_records
    from keras_asit.models import ASiTAudioConverter

    clips = LabeledClips(paths, [()] * len(paths), [])
    start = time.perf_counter()
    converter = ASiTAudioConverter(SAMPLE_RATE)
    index = write_records(clips, folder, content=content, converter=converter, verbose=0)
    seconds = time.perf_counter() - start
    size = sum(shard["bytes"] for shard in index["shards"]) / 1e6
    print(f"{content}: {len(paths)} records, {size:.0f} MB, written in {seconds:.0f} s")


def record_passes(folder, spectrograms, cores, batch_size):
    """Return a function that runs one pass over records."""
    from keras_asit.data import pretraining_dataset
    from keras_asit.models import ASiTAudioConverter

    limit_threads(cores)
    dataset = pretraining_dataset(
        folder,
        converter=ASiTAudioConverter(SAMPLE_RATE),
        batch_size=batch_size,
        crop_seconds=CROP_SECONDS,
        spectrograms=spectrograms,
        seed=0,
        num_workers=cores,
    )
    return dataset_passes(dataset, cores)


if __name__ == "__main__":
    main()
