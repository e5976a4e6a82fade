"""How many clips a second soundfile and tensorflow-io decode, on one core and on several.

Makes synthetic clips of 10 s at 32 kHz as wav, flac, ogg and mp3 files in a temporary folder and
measures, each in a process of its own that is bound to its cores:

- decoding: a pass of `keras_asit.data.audio_dataset`;
- pipeline: a pass of `keras_asit.data.pretraining_dataset`, two views of 6 s of every clip, as
  spectrograms;
- trial: what `decoder="tensorflow_io"` costs once, before the first use of a file.

Reads from files in the page cache. Linux only, since processes are bound to cores. Needs the
extra `tfio`.
"""

import os
import tempfile
from functools import partial

from pipeline import (
    SAMPLE_RATE,
    dataset_passes,
    limit_threads,
    measure_apart,
    parse_arguments,
    pretraining_passes,
    write_clips,
)

FORMATS = ("wav", "flac", "ogg", "mp3")
DECODERS = ("soundfile", "tensorflow_io")


def main():
    arguments = parse_arguments(__doc__, cores=[1])
    with tempfile.TemporaryDirectory() as folder:
        clips = {"wav": write_clips(folder, arguments.clips)}
        for suffix in FORMATS[1:]:
            clips[suffix] = [encode(path, suffix) for path in clips["wav"]]
        for cores in arguments.cores:
            print(f"{cores} core{'s' if cores > 1 else ''}, clips a second")
            print(f"{'':6}{'decoding':>36}{'pipeline':>36}{'trial, ms':>12}")
            print(f"{'':6}" + 2 * f"{'soundfile':>12}{'tensorflow_io':>15}{'ratio':>9}")
            for suffix, paths in clips.items():
                report(suffix, paths, cores, arguments.batch_size, arguments.seconds)


def encode(path, suffix):
    """Write a wav file's sound to a file of another format; return its path."""
    import soundfile

    encoded = f"{os.path.splitext(path)[0]}.{suffix}"
    soundfile.write(encoded, *soundfile.read(path))
    return encoded


def report(suffix, paths, cores, batch_size, seconds):
    """Measure the files of one format and print a line of the table."""
    print(f"{suffix:6}", end="", flush=True)
    for make_passes in (decoding_passes, partial(pretraining_passes, batch_size=batch_size)):
        rates = [
            measure_apart(partial(make_passes, paths, cores, decoder=decoder), cores, seconds)[0]
            for decoder in DECODERS
        ]
        ratio = rates[1] / rates[0]
        print(f"{rates[0]:12.0f}{rates[1]:15.0f}{ratio:9.2f}", end="", flush=True)
    rate, _ = measure_apart(partial(trial_passes, paths, cores), cores, seconds)
    print(f"{1000 / rate:12.1f}")


def decoding_passes(paths, cores, decoder):
    """Return a function that runs one pass of `audio_dataset`."""
    import tensorflow as tf

    from keras_asit.data import audio_dataset

    limit_threads(cores)
    waveforms = audio_dataset(
        paths, sample_rate=SAMPLE_RATE, seed=0, num_workers=cores, decoder=decoder
    )
    # Batches of lengths, so that fetching the waveforms does not count.
    lengths = waveforms.map(lambda waveform, _: {"clean": tf.size(waveform)}).batch(16)
    return dataset_passes(lengths, cores)


def trial_passes(paths, cores):
    """Return a function that tries each file both ways, as before its first use."""
    from keras_asit.data.graph_decoding import GraphDecoder

    limit_threads(cores)

    def run_pass():
        decoder = GraphDecoder(SAMPLE_RATE)
        for path in paths:
            decoder.locate(path)
        return len(paths)

    return run_pass


if __name__ == "__main__":
    main()
