"""Datasets of audio: waveforms, views to pre-train on, labeled batches."""

import os
from collections.abc import Sequence

import numpy as np

from keras_asit._arguments import (
    check_integers,
    check_number,
    draw_seed,
)
from keras_asit.data.labels import LabeledClips
from keras_asit.data.mixing import mixup as mix
from keras_asit.data.passes import ReadLog, Start, clip_passes
from keras_asit.data.records.folder import holds_records
from keras_asit.data.records.reading import RecordPasses
from keras_asit.data.sources import read_manifest
from keras_asit.data.views import LogMelViews, RandomViews
from keras_asit.models import ASiTAudioConverter


def audio_dataset(
    source: str | os.PathLike | Sequence[str],
    *,
    sample_rate: int = 16000,
    shuffle: bool = False,
    seed: int | None = None,
    num_workers: int | None = None,
    decoder: str = "soundfile",
) -> "tf.data.Dataset":  # noqa: F821
    """Return a finite dataset of the waveforms of audio files: one pass over them.

    Files may be of any format that libsndfile reads (wav, flac, ogg, opus, mp3, ...), any
    sample rate, length and number of channels; channels are mixed down to their mean. Files
    that cannot be read, have no samples, or some that are not finite are skipped: one warning
    at the end of the pass counts and names them, and later passes do not repeat it.

    Unreadable files are found only by decoding them, so that the dataset's cardinality is
    unknown. Keras learns the number of batches in its first epoch.

    Args:
        source: str, `os.PathLike`, or list of them. A folder, a list of audio files, or a
            manifest, see `keras_asit.data.read_manifest`; or a folder of records of files or of
            waveforms, see `keras_asit.data.write_records`.
        sample_rate: int. Sample rate of the waveforms in Hz. Files of another one are resampled;
            records of waveforms must have it. Defaults to `16000`.
        shuffle: bool. Whether each pass has a random order of its own. Defaults to `False`.
        seed: int. The same seed gives the same order in the first pass of every run, in the
            second pass, and so on. Defaults to `None`, a random one.
        num_workers: int. How many files are decoded at once. Defaults to `None`: `tf.data`
            chooses.
        decoder: str. `"soundfile"`, or for audio files `"tensorflow_io"`; see
            `keras_asit.data.pretraining_dataset`. Defaults to `"soundfile"`.

    Returns:
        A `tf.data.Dataset` of `(waveform, path)`: float32 of shape `(samples,)`, usually in
        [-1, 1], and a string.

    Raises:
        ValueError: If an argument is invalid, or the source names no existing audio file, or
            holds records that are of log-mels, of another sample rate or not finished. A
            pass ends in `tf.errors.InvalidArgumentError` if no file of it could be read.
        ImportError: If the operators of tensorflow-io are asked for and do not load.

    Example:

    ```python
    for waveform, path in keras_asit.data.audio_dataset("recordings", sample_rate=32000):
        print(path.numpy().decode(), len(waveform) / 32000, "seconds")
    ```
    """
    check_integers(1, sample_rate=sample_rate)
    _check_workers(num_workers)
    order = {"shuffle": shuffle, "seed": draw_seed(seed)}
    if holds_records(source):
        _check_decoder_of_records(decoder)
        records = RecordPasses(source, **order)
        records.check(sample_rate, waveforms=True)
        clips = records.clips(sample_rate, num_workers)
    else:
        clips = clip_passes(
            read_manifest(source),
            sample_rate=sample_rate,
            num_workers=num_workers,
            decoder=decoder,
            **order,
        )
    return clips.map(lambda waveform, path, *_: (waveform, path))


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
) -> "tf.data.Dataset":  # noqa: F821
    """Return a finite dataset of batches to pre-train on: one pass over audio files or records.

    A waveform that is shorter than a crop is padded with zeros at its end; with
    `roll_probability` it is rolled by a random offset; then two random crops become two views.
    All crops of one clip start whole frame shifts (10 ms) apart: where they overlap they share
    their frames, which then are computed only once.

    Works under every backend. Audio files are decoded once a pass; those that cannot be read are
    skipped with a warning, as in `keras_asit.data.audio_dataset`. They are found only by decoding
    them, so that the dataset's cardinality is unknown, and Keras learns the number of batches in
    its first epoch. Schedules can take it from the number of files, `len(read_manifest(source))`.

    Of records, the cardinality is known. The first pass checks each shard against its checksum in
    the index, and every pass each record against its own. From records of files and of waveforms
    views are made as from files. Log-mels are cropped and rolled in whole frames: crops start at
    multiples of 10 ms, and no frame of a rolled clip has both its end and its beginning in it.

    Args:
        source: str, `os.PathLike`, or list of them. A folder, a list of audio files, or a
            manifest, see `keras_asit.data.read_manifest`; or a folder of records, see
            `keras_asit.data.write_records`.
        converter: `ASiTAudioConverter`. The sample rate, mel bins and normalization of the
            views, with as many frames as a crop has. Defaults to `None`: 16 kHz, 128 mel bins
            and the mean and standard deviation of AudioSet.
        batch_size: int. Number of clips of a batch. Defaults to `32`.
        crop_seconds: float. Length of a crop. Its spectrogram has the largest multiple of
            `patch_frames` (of 10 ms) that it fills: 592 for 6 s. Defaults to `6.0`.
        num_short_crops: int. Number of short crops of each clip, which only the student sees.
            Defaults to `0`.
        short_crop_seconds: float. Length of a short crop, at most `crop_seconds`. Its
            spectrogram has 192 frames for 2 s. Defaults to `2.0`.
        patch_frames: int. Frames of a patch, `backbone.patch_size[0]`. Defaults to `16`.
        roll_probability: float in [0, 1]. Defaults to `0.5`.
        spectrograms: bool. Whether views are spectrograms, or the waveforms of the same crops
            (for `ASiTPretrainer` to convert on the device; not from log-mels). Defaults to `True`.
        shuffle: bool. Whether each pass has a random order of its own; of records, of shards,
            eight of which take turns, and of the clips in each. Defaults to `True`.
        seed: int. The same seed gives the same batches in the first pass of every run, in the
            second pass, and so on; passes differ from each other. Defaults to `None`, a random
            one.
        drop_remainder: bool. Whether clips that do not fill a last batch are left out.
            Defaults to `True`.
        max_seconds: float, at least `crop_seconds`. Of a longer file, only a stretch of this
            length is read, found by seeking to a random place that is another one in each
            pass; its crops lie there. Records are read whole. Defaults to `60.0`.
        decoder: str. What decodes the files: `"soundfile"`, in Python; or `"tensorflow_io"`, the
            operators of tensorflow-io (extra `tfio`), inside the graph, which know wav of 8, 16,
            24 and 32 bits, flac, ogg (Vorbis) and mp3, and to the same samples. Files that these
            do not decode, or otherwise than soundfile, are skipped, which is found by decoding
            each file both ways before it is used first. They decode whole files, however long,
            and other sample rates are resampled in Python as ever. Defaults to `"soundfile"`.
        num_workers: int. How many clips are decoded and how many are converted at once.
            Defaults to `None`: `tf.data` chooses.
        num_hosts: int. In training on several machines, their number. Each reads every n-th file,
            or shards of its own, and all as many clips; what one has in excess of that, other
            clips in each shuffled pass, is left out. Of files, check beforehand that all can be
            read (`keras_asit.data.check_audio`). Defaults to `1`.
        host_index: int. Which of the hosts this is, from 0. Defaults to `0`.
        start: `keras_asit.data.Start`. Where to start. Defaults to `None`, the first batch.
        log: `keras_asit.data.ReadLog` that notes what is read. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of dicts of float32: `"clean"` of shape `(batch, 2, frames, mels)`
        and, with `num_short_crops`, `"short"` of shape `(batch, num_short_crops, frames,
        mels)`. With `spectrograms=False`, `(batch, 2, samples)` and `(batch, num_short_crops,
        samples)`.

    Raises:
        ValueError: If an argument is invalid, the source names no existing audio file or holds
            records that are not finished or were made with another front end, or if it has too
            few clips for a batch or for the hosts. A pass ends in
            `tf.errors.InvalidArgumentError` if too few files of it could be read or a shard,
            which it names, is damaged.
        ImportError: If the operators of tensorflow-io are asked for and do not load.

    Example:

    ```python
    dataset = keras_asit.data.pretraining_dataset("recordings", batch_size=64, seed=1)
    pretrainer.fit(dataset, epochs=100)
    ```

    Reference: Atito et al., "ASiT", arXiv 2211.13189, section IV.
    """
    import tensorflow as tf

    check_integers(1, batch_size=batch_size)
    _check_workers(num_workers)
    _check_hosts(num_hosts, host_index)
    crops = {
        "crop_seconds": crop_seconds,
        "num_short_crops": num_short_crops,
        "short_crop_seconds": short_crop_seconds,
        "patch_frames": patch_frames,
        "roll_probability": roll_probability,
    }
    given, converter = converter is not None, converter or ASiTAudioConverter()
    views = RandomViews(converter, **crops, spectrograms=spectrograms)
    check_number("max_seconds", max_seconds, crop_seconds)
    if given and converter.num_frames != views.frames[0]:
        raise ValueError(
            f"`converter` must make the {views.frames[0]} frames of a crop of {crop_seconds} s. "
            f"Received: num_frames={converter.num_frames}. Give it "
            "`num_frames=converter.frames_in(crop_seconds, patch_frames)`, or crops of another "
            "`crop_seconds`."
        )
    passes = {
        "shuffle": shuffle,
        "seed": draw_seed(seed),
        "batch_size": batch_size,
        "num_hosts": num_hosts,
        "host_index": host_index,
        "start": start,
        "log": log,
    }
    is_records = holds_records(source)
    if is_records:
        _check_decoder_of_records(decoder)
        records = RecordPasses(source, **passes)
        records.check(converter.sample_rate, converter.num_mels, waveforms=not spectrograms)
        if records.index["content"] == "log_mel":
            views = LogMelViews(converter, **crops)
        clips = records.clips(converter.sample_rate, num_workers)
        num_clips = records.num_clips
    else:
        paths = read_manifest(source)
        num_clips = len(paths) // num_hosts
        clips = clip_passes(
            paths,
            sample_rate=converter.sample_rate,
            num_workers=num_workers,
            at_least=batch_size if drop_remainder else 1,
            max_seconds=max_seconds,
            decoder=decoder,
            **passes,
        )
    if num_clips < (batch_size if drop_remainder else 1):
        raise ValueError(
            f"{num_clips} {'records' if is_records else 'audio files'} do not fill one batch; "
            f"lower `batch_size` or set `drop_remainder=False`. Received: batch_size={batch_size}"
            + (f", num_hosts={num_hosts}" if num_hosts > 1 else "")
        )
    batches = clips.map(
        lambda clip, _, seed, samples=None, *labels: views(clip, seed, samples),
        num_parallel_calls=num_workers or tf.data.AUTOTUNE,
        deterministic=True,
    ).batch(batch_size, drop_remainder=drop_remainder)
    if is_records:
        batches = _of_known_number(batches, num_clips, batch_size, drop_remainder, start)
    return batches.prefetch(tf.data.AUTOTUNE)


# Resampling a stretch of exactly a crop may leave one sample too few.
SPARE_SECONDS = 0.01


def labeled_dataset(
    clips: LabeledClips | str | os.PathLike,
    *,
    sample_rate: int = 16000,
    batch_size: int = 32,
    crop_seconds: float | None = None,
    one_hot: bool = False,
    mixup: float = 0.0,
    mixup_alpha: float = 10.0,
    weights: Sequence[float] | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    drop_remainder: bool = False,
    num_workers: int | None = None,
    start: Start | None = None,
    log: ReadLog | None = None,
) -> "tf.data.Dataset":  # noqa: F821
    """Return a finite dataset of batches of waveforms and labels: one pass over labeled files.

    Files that cannot be read are skipped with a warning, as in `keras_asit.data.audio_dataset`.

    Args:
        clips: `keras_asit.data.LabeledClips`; or str or `os.PathLike`, a folder of records of
            files or of waveforms with labels, see `keras_asit.data.write_records`.
        sample_rate: int. Sample rate in Hz. Files of another one are resampled; records of
            waveforms must have it. Defaults to `16000`.
        batch_size: int. Defaults to `32`.
        crop_seconds: float. A longer clip is cut to a random stretch of this length, and little
            more than that is read of its file. Defaults to `None`: clips are whole.
        one_hot: bool. Whether labels of single-label clips have a column a class too, as
            `mixup` and label smoothing need them. Defaults to `False`.
        mixup: float in [0, 1]. How often a clip and its labels are mixed with another clip of the
            batch, which is cut or padded with silence to its length. Defaults to `0.0`.
        mixup_alpha: float. The share of a mixed clip is drawn from a beta distribution with both
            parameters this. Defaults to `10.0`.
        weights: array of shape `(clips,)`, such as `balanced_weights` gives. Each pass draws
            as many clips as there are, with replacement and with chances in proportion to
            these; then the passes are shuffled anyway. Not of records. Defaults to `None`: each
            clip once.
        shuffle: bool. Whether each pass has a random order of its own. Defaults to `False`.
        seed: int. The same seed gives the same batches in the first pass of every run, in the
            second pass, and so on. Defaults to `None`, a random one.
        drop_remainder: bool. Whether clips that do not fill a last batch are left out.
            Defaults to `False`.
        num_workers: int. How many clips are decoded at once. Defaults to `None`: `tf.data`
            chooses.
        start: `keras_asit.data.Start`. Where to start. Defaults to `None`, the first batch.
        log: `keras_asit.data.ReadLog` that notes what is read. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of `(waveforms, labels)`: a ragged float32 tensor of shape
        `(batch, None)`, and int32 of shape `(batch,)`, or float32 of shape `(batch, classes)`
        if any clip has not exactly one label, or with `one_hot`.

    Raises:
        ValueError: if an argument is invalid, or records have no labels, are of log-mels, of
            another sample rate or not finished.

    Example:

    ```python
    clips = keras_asit.data.read_labeled_clips("recordings")  # a folder a class
    dataset = keras_asit.data.labeled_dataset(clips, crop_seconds=5.0, shuffle=True)
    classifier.fit(dataset, epochs=10)
    ```

    Reference: Gong et al., "PSLA", arXiv 2102.01243, section III, for weights and mixup.
    """
    import tensorflow as tf

    check_integers(1, sample_rate=sample_rate, batch_size=batch_size)
    if crop_seconds is not None:
        check_number("crop_seconds", crop_seconds, 1 / sample_rate)
    check_number("mixup", mixup, 0, 1)
    check_number("mixup_alpha", mixup_alpha, 1e-3)
    _check_workers(num_workers)
    passes = {
        "shuffle": shuffle,
        "seed": draw_seed(seed),
        "batch_size": batch_size,
        "start": start,
        "log": log,
    }
    is_records = holds_records(clips)
    if is_records:
        if weights is not None:
            raise ValueError("`weights` are for LabeledClips; records are read shard by shard.")
        records = RecordPasses(clips, **passes)
        records.check(sample_rate, waveforms=True)
        class_names, multi_label = records.index["class_names"], records.index["multi_label"]
        if not class_names:
            raise ValueError(f"{clips} holds records without labels; write `LabeledClips`.")
        elements = records.clips(sample_rate, num_workers).map(
            lambda waveform, _, seed, samples, labels: (waveform, labels, seed)
        )
    elif isinstance(clips, LabeledClips):
        class_names, multi_label = clips.class_names, clips.multi_label
        look_up = _label_lookup(clips)
        elements = clip_passes(
            clips.paths,
            sample_rate=sample_rate,
            num_workers=num_workers,
            weights=None if weights is None else _as_chances(weights, len(clips)),
            max_seconds=None if crop_seconds is None else crop_seconds + SPARE_SECONDS,
            **passes,
        ).map(lambda waveform, _, seed: (waveform, look_up(seed[1] % len(clips)), seed))
    else:
        raise ValueError(
            "`clips` must be LabeledClips or a folder of records. Received: "
            f"{clips if isinstance(clips, (str, os.PathLike)) else type(clips).__name__}"
        )
    one_hot = one_hot or multi_label
    if mixup and not one_hot:
        raise ValueError(
            f"`mixup` mixes labels of a column a class; set `one_hot=True`. Received: mixup={mixup}"
        )

    def element(waveform, labels, seed):
        if crop_seconds is not None:
            waveform = _crop(waveform, round(crop_seconds * sample_rate), seed)
        if one_hot:
            return waveform, tf.reduce_sum(tf.one_hot(labels, len(class_names)), axis=0), seed
        return waveform, tf.cast(labels[0], tf.int32), seed

    def finish(waveforms, labels, seeds):
        if not mixup:
            return waveforms, labels
        # That of the first clip: no other batch of any pass has it.
        return mix(waveforms, labels, seeds[0], probability=mixup, alpha=mixup_alpha)

    batches = elements.map(element).ragged_batch(batch_size, drop_remainder=drop_remainder)
    batches = batches.map(finish)
    if is_records:
        batches = _of_known_number(batches, records.num_clips, batch_size, drop_remainder, start)
    return batches.prefetch(tf.data.AUTOTUNE)


def _check_workers(num_workers):
    check_integers(1, or_none=True, num_workers=num_workers)


def _check_hosts(num_hosts, host_index):
    check_integers(1, num_hosts=num_hosts)
    check_integers(0, host_index=host_index)
    if host_index >= num_hosts:
        raise ValueError(
            f"`host_index` must be an integer from 0 to {num_hosts - 1}, less than `num_hosts`. "
            f"Received: host_index={host_index!r}"
        )


def _check_decoder_of_records(decoder):
    if decoder != "soundfile":
        raise ValueError(
            "Another `decoder` is for audio files; records are read without one. Received: "
            f"decoder={decoder!r}"
        )


def _of_known_number(batches, num_clips, batch_size, drop_remainder, start):
    """Return batches of records with their cardinality, unless the first pass is shorter."""
    import tensorflow as tf

    if start is not None and start.batch:
        return batches
    number = num_clips // batch_size if drop_remainder else -(-num_clips // batch_size)
    return batches.apply(tf.data.experimental.assert_cardinality(number))


def _as_chances(weights, number):
    weights = np.asarray(weights, "float64")
    if weights.shape != (number,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"`weights` must be {number} numbers of at least 0, one a clip. Received: "
            f"shape={weights.shape}, smallest={np.min(weights, initial=0)}"
        )
    if not weights.sum():
        raise ValueError("`weights` must not all be 0.")
    return weights / weights.sum()


def _label_lookup(clips):
    """Return a function from a clip's index to the indices of its classes."""
    import tensorflow as tf

    # Not a matrix: of two million clips and 527 classes, it would fill a gigabyte.
    lengths = [len(label) for label in clips.labels]
    flat = np.asarray([index for label in clips.labels for index in label], "int32")
    table = tf.RaggedTensor.from_row_lengths(flat, lengths)
    return lambda index: table[index]


def _crop(waveform, length, seed):
    import tensorflow as tf

    places = tf.maximum(tf.size(waveform) - length, 0) + 1
    start = tf.random.stateless_uniform([], seed, 0, places, tf.int32)
    return waveform[start : start + length]
