"""Waveforms of audio files or of records, one after another."""

import os
from collections.abc import Sequence

import tensorflow as tf

from keras_asit._arguments import check_integers
from keras_asit.data.passes import FilePasses
from keras_asit.data.records.format import holds_records
from keras_asit.data.records.reading import RecordPasses
from keras_asit.data.sources import read_manifest


def audio_dataset(
    source: str | os.PathLike | Sequence[str],
    *,
    sample_rate: int = 16000,
    shuffle: bool = False,
    seed: int | None = None,
    num_workers: int | None = None,
    decoder: str = "soundfile",
) -> tf.data.Dataset:
    """Return a finite dataset of the waveforms of audio files: one pass over them.

    Files may be of any format, sample rate, length and number of channels that
    `keras_asit.data.decode_audio` reads. Those that cannot be read, have no samples, or some that
    are not finite are skipped: one warning at the end of the pass counts and names them, and later
    passes do not repeat it. Only decoding finds them, so that the cardinality is unknown.

    Args:
        source: str, `os.PathLike`, or list of them. A folder, a list of audio files, or a
            manifest, see `keras_asit.data.read_manifest`; or a folder of records of files or of
            waveforms, see `keras_asit.data.write_records`.
        sample_rate: int. Sample rate of the waveforms in Hz. Files of another one are resampled;
            records of waveforms must have it. Defaults to `16000`.
        shuffle: bool. Whether each pass has a random order of its own. Defaults to `False`.
        seed: int. The same seed gives the same first pass in every run, the same second pass, and
            so on; passes differ from each other. Defaults to `None`, a random one.
        num_workers: int. Clips decoded at once. Defaults to `None`: `tf.data` chooses.
        decoder: str. `"soundfile"`, or for audio files `"tensorflow_io"`; see
            `keras_asit.data.pretraining_dataset`. Defaults to `"soundfile"`.

    Returns:
        A `tf.data.Dataset` of `(waveform, path)`: float32 of shape `(samples,)`, usually in
        [-1, 1], and a string.

    Raises:
        ValueError: If an argument is invalid, the source names no existing audio file, or holds
            records that are of log-mels, of another sample rate or not finished.
        tf.errors.InvalidArgumentError: At the end of a pass of which no file could be read.
        ImportError: If the operators of tensorflow-io are asked for and do not load.

    Example:
    ```python
    for waveform, path in keras_asit.data.audio_dataset("recordings", sample_rate=32000):
        print(path.numpy().decode(), len(waveform) / 32000, "seconds")
    ```
    """
    check_integers(1, sample_rate=sample_rate)
    settings = {"shuffle": shuffle, "seed": seed, "num_workers": num_workers, "decoder": decoder}
    if holds_records(source):
        passes = RecordPasses(source, sample_rate, **settings)
    else:
        passes = FilePasses(read_manifest(source), sample_rate, **settings)
    return passes.clips().map(lambda clip: (clip["audio"], clip["path"]))
