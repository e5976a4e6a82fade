"""Batches of random views to pre-train on, from audio files or from records."""

import os
from collections.abc import Sequence

import tensorflow as tf

from keras_asit._arguments import check_instance, check_number
from keras_asit.data.passes import FilePasses
from keras_asit.data.progress import ReadLog, Start
from keras_asit.data.records.format import holds_records
from keras_asit.data.records.reading import RecordPasses
from keras_asit.data.sources import read_manifest
from keras_asit.data.views import LogMelViews, RandomViews
from keras_asit.models import ASiTAudioConverter


def pretraining_dataset(
    source: str | os.PathLike | Sequence[str],
    *,
    converter: ASiTAudioConverter | None = None,
    batch_size: int = 32,
    crop_seconds: float = 6.0,
    num_short_crops: int = 0,
    short_crop_seconds: float = 2.0,
    patch_frames: int = 16,
    roll_probability: float = 0.5,
    spectrograms: bool = True,
    shuffle: bool = True,
    seed: int | None = None,
    drop_remainder: bool = True,
    max_seconds: float = 60.0,
    decoder: str = "soundfile",
    num_workers: int | None = None,
    num_hosts: int = 1,
    host_index: int = 0,
    start: Start | None = None,
    log: ReadLog | None = None,
) -> tf.data.Dataset:
    """Return a finite dataset of batches to pre-train on: one pass over audio files or records.

    A waveform that is shorter than a crop is padded with zeros at its end; with
    `roll_probability` it is rolled by a random offset; then two random crops become two views,
    which start whole frame shifts (10 ms) apart. Log-mels are cropped and rolled in whole frames.

    Of files, each is decoded once a pass; those that cannot be read are skipped, and the
    cardinality is unknown, as in `keras_asit.data.audio_dataset`. Of records it is known; the first
    pass checks each shard against its checksum in the index, and every pass each record.

    Args:
        source: As in `keras_asit.data.audio_dataset`; records may be of log-mels too.
        converter: `ASiTAudioConverter` of the views, with as many frames as a crop has. Defaults
            to `None`: 16 kHz, 128 mel bins and the statistics of AudioSet.
        batch_size: int. Number of clips of a batch, of all hosts. Defaults to `32`.
        crop_seconds: float. Length of a crop. Its spectrogram has the largest multiple of
            `patch_frames` (of 10 ms) that it fills: 592 for 6 s. Defaults to `6.0`.
        num_short_crops: int. Short crops of each clip, for the student only. Defaults to `0`.
        short_crop_seconds: float. Length of a short crop, at most `crop_seconds`. Defaults to
            `2.0`, which is 192 frames.
        patch_frames: int. Frames of a patch, `backbone.patch_size[0]`. Defaults to `16`.
        roll_probability: float in [0, 1]. Defaults to `0.5`.
        spectrograms: bool. Whether views are spectrograms, or the waveforms of the same crops
            (for `ASiTPretrainer` to convert on the device; not from log-mels). Defaults to `True`.
        shuffle: bool. Whether each pass has a random order of its own; of records, the clips
            of every four shards are mixed. Defaults to `True`.
        seed, num_workers: as in `keras_asit.data.audio_dataset`.
        drop_remainder: bool. Whether clips that do not fill a last batch are left out.
            Defaults to `True`.
        max_seconds: float, at least `crop_seconds`. Of a longer file, only a stretch of this
            length is read, at another random place in each pass. Not of records. Defaults to
            `60.0`.
        decoder: str. `"soundfile"`, in Python; or `"tensorflow_io"`, the operators of
            tensorflow-io (extra `tfio`), inside the graph, which know wav of 8, 16, 24 and 32
            bits, flac, ogg (Vorbis) and mp3. Files that these do not decode to the same samples
            are skipped, which is found by decoding each file both ways before it is used first.
            They decode whole files, however long. Defaults to `"soundfile"`.
        num_hosts: int. In training on several machines, their number. Each gets its share of every
            batch, so that they train on the same batches as one host; what does not fill a last
            batch is left out, and a file that cannot be read is an error: `check_audio` finds
            those beforehand. Defaults to `1`.
        host_index: int. Which of the hosts this is, from 0. Defaults to `0`.
        start: `keras_asit.data.Start`. Where to start. Defaults to `None`, the first batch.
        log: `keras_asit.data.ReadLog` that notes what is read. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of dicts of float32: `"clean"` of shape `(batch, 2, frames, mels)`
        and, with `num_short_crops`, `"short"` of shape `(batch, num_short_crops, frames,
        mels)`. With `spectrograms=False`, their last axis is samples.

    Raises:
        ValueError, ImportError, tf.errors.InvalidArgumentError: As in
            `keras_asit.data.audio_dataset`, and if there are too few clips for a batch or for the
            hosts, or a shard, which the message names, is damaged.

    Example:
    ```python
    dataset = keras_asit.data.pretraining_dataset("recordings", batch_size=64, seed=1)
    pretrainer.fit(dataset, epochs=100)
    ```

    Reference: Atito et al., "ASiT", arXiv 2211.13189, section IV.
    """
    is_given = converter is not None
    converter = converter if is_given else ASiTAudioConverter()
    check_instance("converter", converter, ASiTAudioConverter)
    crops = {
        "crop_seconds": crop_seconds,
        "num_short_crops": num_short_crops,
        "short_crop_seconds": short_crop_seconds,
        "patch_frames": patch_frames,
        "roll_probability": roll_probability,
    }
    views = RandomViews(converter, **crops, spectrograms=spectrograms)
    check_number("max_seconds", max_seconds, crop_seconds)
    if is_given and converter.num_frames != views.frames[0]:
        raise ValueError(
            f"`converter` must make the {views.frames[0]} frames of a crop of {crop_seconds} s. "
            f"Received: num_frames={converter.num_frames}. Give it "
            "`num_frames=converter.frames_in(crop_seconds, patch_frames)`, or crops of another "
            "`crop_seconds`."
        )
    at_least = batch_size if drop_remainder else 1
    settings = {
        "shuffle": shuffle,
        "seed": seed,
        "batch_size": batch_size,
        "decoder": decoder,
        "num_workers": num_workers,
        "num_hosts": num_hosts,
        "host_index": host_index,
        "start": start,
        "log": log,
    }
    rate, num_mels = converter.sample_rate, converter.num_mels
    if holds_records(source):
        waveforms = not spectrograms
        passes = RecordPasses(source, rate, num_mels=num_mels, waveforms=waveforms, **settings)
        if passes.index["content"] == "log_mel":
            views = LogMelViews(converter, **crops)
    else:
        settings |= {"at_least": at_least, "max_seconds": max_seconds}
        passes = FilePasses(read_manifest(source), rate, **settings)
    if passes.num_clips < at_least:
        raise ValueError(
            f"{passes.num_clips} {passes.of} do not fill one batch; lower `batch_size` or set "
            f"`drop_remainder=False`. Received: batch_size={batch_size}"
        )
    batches = passes.clips().map(
        lambda clip: views(clip["audio"], clip["seed"], clip["samples"]),
        num_parallel_calls=num_workers or tf.data.AUTOTUNE,
        deterministic=True,
    )
    share = batch_size // num_hosts
    return batches.batch(share, drop_remainder=drop_remainder).prefetch(tf.data.AUTOTUNE)
