"""How many clips a second are read from records, on one core and on several.

Writes synthetic clips of 10 s at 32 kHz as records in a temporary folder and measures, each in a
process of its own that is bound to its cores, `keras_asit.data.pretraining_dataset` and, beside
it, the plain loader of `pipeline.py`, which reads the files. Every clip becomes two views of 6 s.

Reads from files in the page cache. Linux only, since processes are bound to cores.
"""

import tempfile
import time
from functools import partial

from pipeline import (
    SAMPLE_RATE,
    measure_all,
    parse_arguments,
    plain_passes,
    pretraining_passes,
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
    arguments = parse_arguments(__doc__, repeat=16)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_clips(folder, arguments.clips)
        for content in ("log_mel", "waveform"):
            write(paths * arguments.repeat, f"{folder}/{content}", content)
        cases = {("plain loader", 1): partial(plain_passes, paths)}
        for cores in arguments.cores:
            for name, (content, spectrograms) in CASES.items():
                cases[name, cores] = partial(
                    pretraining_passes,
                    f"{folder}/{content}",
                    cores,
                    batch_size=arguments.batch_size,
                    spectrograms=spectrograms,
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


if __name__ == "__main__":
    main()
