"""Datasets of audio files: waveforms, views to pre-train on, labeled batches."""

import numpy as np

from keras_asit._arguments import check_number, check_positive_integer, draw_seed
from keras_asit.data.labels import LabeledClips
from keras_asit.data.passes import clip_passes
from keras_asit.data.sources import read_manifest
from keras_asit.data.views import RandomViews, view_arguments
from keras_asit.models import AUDIOSET_MEAN, AUDIOSET_STANDARD_DEVIATION


def audio_dataset(
    source,
    sample_rate=16000,
    shuffle=False,
    seed=None,
    num_workers=None,
    decoder="soundfile",
):
    """Return a finite dataset of the waveforms of audio files: one pass over them.

    Files may be of any format that libsndfile reads (wav, flac, ogg, opus, mp3, ...), any
    sample rate, length and number of channels; channels are mixed down to their mean. Files
    that cannot be read, have no samples, or some that are not finite are skipped: one warning
    at the end of the pass counts and names them, and later passes do not repeat it.

    Unreadable files are found only by decoding them, so that the dataset's cardinality is
    unknown. Keras learns the number of batches in its first epoch.

    Args:
        source: str, `os.PathLike`, or list of them. A folder, a list of audio files, or a
            manifest; see `keras_asit.data.read_manifest`.
        sample_rate: int. Sample rate of the waveforms in Hz; files of another one are
            resampled. Defaults to `16000`.
        shuffle: bool. Whether each pass has a random order of its own. Defaults to `False`.
        seed: int. The same seed gives the same order in the first pass of every run, in the
            second pass, and so on. Defaults to `None`, a random one.
        num_workers: int. How many files are decoded at once. Defaults to `None`:
            `tf.data` chooses.
        decoder: str. `"soundfile"`, or `"tensorflow_io"`; see
            `keras_asit.data.pretraining_dataset`. Defaults to `"soundfile"`.

    Returns:
        A `tf.data.Dataset` of `(waveform, path)`: float32 of shape `(samples,)`, usually in
        [-1, 1], and a string.

    Raises:
        ValueError: If an argument is invalid, or the source names no existing audio file. A
            pass ends in `tf.errors.InvalidArgumentError` if no file of it could be read.
        ImportError: If the operators of tensorflow-io are asked for and do not load.

    Example:

    ```python
    for waveform, path in keras_asit.data.audio_dataset("recordings", sample_rate=32000):
        print(path.numpy().decode(), len(waveform) / 32000, "seconds")
    ```
    """
    check_positive_integer("sample_rate", sample_rate)
    seed = draw_seed(seed)
    if num_workers is not None:
        check_positive_integer("num_workers", num_workers)
    paths = read_manifest(source)
    clips = clip_passes(
        paths,
        sample_rate=sample_rate,
        shuffle=shuffle,
        seed=seed,
        num_workers=num_workers,
        decoder=decoder,
    )
    return clips.map(lambda waveform, path, _: (waveform, path))


def pretraining_dataset(
    source,
    sample_rate=16000,
    batch_size=32,
    crop_seconds=6.0,
    num_short_crops=0,
    short_crop_seconds=2.0,
    num_mels=128,
    mean=AUDIOSET_MEAN,
    standard_deviation=AUDIOSET_STANDARD_DEVIATION,
    roll_probability=0.5,
    spectrograms=True,
    shuffle=True,
    seed=None,
    drop_remainder=True,
    max_seconds=60.0,
    num_workers=None,
    decoder="soundfile",
    start=None,
    log=None,
):
    """Return a finite dataset of batches to pre-train on: one pass over audio files.

    Each file is decoded once a pass. A waveform that is shorter than a crop is padded with
    zeros at its end; with `roll_probability` it is rolled by a random offset; then two random
    crops become two views. All crops of one clip start whole frame shifts (10 ms) apart: where
    they overlap they share their frames, which then are computed only once.

    Works under every backend. Files that cannot be read are skipped with a warning, as in
    `keras_asit.data.audio_dataset`. They are found only by decoding them, so that the
    dataset's cardinality is unknown, and Keras learns the number of batches in its first
    epoch. Schedules can take it from the number of files, `len(read_manifest(source))`.

    Args:
        source: str, `os.PathLike`, or list of them. A folder, a list of audio files, or a
            manifest; see `keras_asit.data.read_manifest`.
        sample_rate: int. Sample rate in Hz; files of another one are resampled. Defaults to
            `16000`.
        batch_size: int. Number of clips of a batch. Defaults to `32`.
        crop_seconds: float. Length of a crop. Its spectrogram has the largest multiple of 16
            frames (of 10 ms) that it fills: 592 for 6 s. Defaults to `6.0`.
        num_short_crops: int. Number of short crops of each clip, which only the student sees.
            Defaults to `0`.
        short_crop_seconds: float. Length of a short crop, at most `crop_seconds`. Its
            spectrogram has 192 frames for 2 s. Defaults to `2.0`.
        num_mels: int. Mel bins of a spectrogram. Defaults to `128`.
        mean: float. Mean of the log-mels. Defaults to `-4.2677393`, AudioSet's.
        standard_deviation: float. Defaults to `4.5689974`, AudioSet's.
        roll_probability: float in [0, 1]. Defaults to `0.5`.
        spectrograms: bool. Whether views are spectrograms, or the waveforms of the same crops
            (for `ASiTAudioConverter` to convert on the device). Defaults to `True`.
        shuffle: bool. Whether each pass has a random order of its own. Defaults to `True`.
        seed: int. The same seed gives the same batches in the first pass of every run, in the
            second pass, and so on; passes differ from each other. Defaults to `None`, a random
            one.
        drop_remainder: bool. Whether clips that do not fill a last batch are left out.
            Defaults to `True`.
        max_seconds: float, at least `crop_seconds`. Of a longer file, only a stretch of this
            length is read, found by seeking to a random place that is another one in each
            pass; its crops lie there. Defaults to `60.0`.
        num_workers: int. How many clips are decoded and how many are converted at once.
            Defaults to `None`: `tf.data` chooses.
        decoder: str. What decodes the files: `"soundfile"`, in Python; or `"tensorflow_io"`, the
            operators of tensorflow-io (extra `tfio`), inside the graph, which know wav of 8, 16,
            24 and 32 bits, flac, ogg (Vorbis) and mp3, and to the same samples. Files that these
            do not decode, or otherwise than soundfile, are skipped, which is found by decoding
            each file both ways before it is used first. They decode whole files, however long,
            and other sample rates are resampled in Python as ever. Defaults to `"soundfile"`.
        start: `keras_asit.data.Start`. Where to start. Defaults to `None`, the first batch.
        log: `keras_asit.data.ReadLog` that notes what is read. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of dicts of float32: `"clean"` of shape `(batch, 2, frames, mels)`
        and, with `num_short_crops`, `"short"` of shape `(batch, num_short_crops, frames,
        mels)`. With `spectrograms=False`, `(batch, 2, samples)` and `(batch, num_short_crops,
        samples)`.

    Raises:
        ValueError: If an argument is invalid, or the source names no existing audio file, or
            fewer than `batch_size` with `drop_remainder`. A pass ends in
            `tf.errors.InvalidArgumentError` if too few files of it could be read.
        ImportError: If the operators of tensorflow-io are asked for and do not load.

    Example:

    ```python
    dataset = keras_asit.data.pretraining_dataset("recordings", batch_size=64, seed=1)
    pretrainer.fit(dataset, epochs=100)
    ```

    Reference: Atito et al., "ASiT", arXiv 2211.13189, section IV.
    """
    import tensorflow as tf

    view = view_arguments(
        sample_rate,
        crop_seconds,
        num_short_crops,
        short_crop_seconds,
        num_mels,
        mean,
        standard_deviation,
        roll_probability,
    )
    check_positive_integer("batch_size", batch_size)
    check_number("max_seconds", max_seconds, crop_seconds)
    seed = draw_seed(seed)
    if num_workers is not None:
        check_positive_integer("num_workers", num_workers)
    views = RandomViews(**view, spectrograms=spectrograms)
    paths = read_manifest(source)
    if drop_remainder and len(paths) < batch_size:
        raise ValueError(
            f"{len(paths)} audio files do not fill one batch; lower `batch_size` or set "
            f"`drop_remainder=False`. Received: batch_size={batch_size}"
        )
    clips = clip_passes(
        paths,
        sample_rate=sample_rate,
        shuffle=shuffle,
        seed=seed,
        num_workers=num_workers,
        at_least=batch_size if drop_remainder else 1,
        max_seconds=max_seconds,
        decoder=decoder,
        batch_size=batch_size,
        start=start,
        log=log,
    )
    return (
        clips.map(
            lambda waveform, _, seed: views(waveform, seed),
            num_parallel_calls=num_workers or tf.data.AUTOTUNE,
            deterministic=True,
        )
        .batch(batch_size, drop_remainder=drop_remainder)
        .prefetch(tf.data.AUTOTUNE)
    )


# Resampling a stretch of exactly a crop may leave one sample too few.
SPARE_SECONDS = 0.01


def labeled_dataset(
    clips,
    sample_rate=16000,
    batch_size=32,
    crop_seconds=None,
    one_hot=False,
    weights=None,
    shuffle=False,
    seed=None,
    drop_remainder=False,
    num_workers=None,
    start=None,
    log=None,
):
    """Return a finite dataset of batches of waveforms and labels: one pass over labelled files.

    Files that cannot be read are skipped with a warning, as in `keras_asit.data.audio_dataset`.

    Args:
        clips: a `keras_asit.data.LabeledClips`.
        sample_rate: int. Sample rate in Hz; files of another one are resampled. Defaults to
            `16000`.
        batch_size: int. Defaults to `32`.
        crop_seconds: float. A longer clip is cut to a random stretch of this length, and little
            more than that is read of its file. Defaults to `None`: clips are whole.
        one_hot: bool. Whether labels of single-label clips have a column a class too, as
            `Mixup` and label smoothing need them. Defaults to `False`.
        weights: array of shape `(clips,)`, such as `balanced_weights` gives. Each pass draws
            as many clips as there are, with replacement and with chances in proportion to
            these; then the passes are shuffled anyway. Defaults to `None`: each clip once.
        shuffle: bool. Whether each pass has a random order of its own. Defaults to `False`.
        seed: int. The same seed gives the same batches in the first pass of every run, in the
            second pass, and so on. Defaults to `None`, a random one.
        drop_remainder: bool. Whether clips that do not fill a last batch are left out.
            Defaults to `False`.
        num_workers: int. How many clips are decoded at once. Defaults to `None`:
            `tf.data` chooses.
        start: `keras_asit.data.Start`. Where to start. Defaults to `None`, the first batch.
        log: `keras_asit.data.ReadLog` that notes what is read. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of `(waveforms, labels)`: a ragged float32 tensor of shape
        `(batch, None)`, and int32 of shape `(batch,)`, or float32 of shape `(batch, classes)`
        if any clip has not exactly one label, or with `one_hot`.

    Raises:
        ValueError: if an argument is invalid.

    Example:

    ```python
    clips = keras_asit.data.read_labeled_clips("recordings")  # a folder a class
    dataset = keras_asit.data.labeled_dataset(clips, crop_seconds=5.0, shuffle=True)
    classifier.fit(dataset, epochs=10)
    ```
    """
    import tensorflow as tf

    if not isinstance(clips, LabeledClips):
        raise ValueError(f"`clips` must be LabeledClips. Received: {type(clips).__name__}")
    check_positive_integer("sample_rate", sample_rate)
    check_positive_integer("batch_size", batch_size)
    if crop_seconds is not None:
        check_number("crop_seconds", crop_seconds, 1 / sample_rate)
    seed = draw_seed(seed)
    weights = None if weights is None else _as_chances(weights, len(clips))
    length = None if crop_seconds is None else round(crop_seconds * sample_rate)
    longest = None if crop_seconds is None else crop_seconds + SPARE_SECONDS
    label = _label_lookup(clips, one_hot or clips.multi_label)

    def element(waveform, _, entry):
        index = entry[1] % len(clips)
        return waveform if length is None else _crop(waveform, length, entry), label(index)

    passes = clip_passes(
        clips.paths,
        sample_rate=sample_rate,
        shuffle=shuffle,
        seed=seed,
        num_workers=num_workers,
        weights=weights,
        max_seconds=longest,
        batch_size=batch_size,
        start=start,
        log=log,
    )
    batches = passes.map(element).ragged_batch(batch_size, drop_remainder=drop_remainder)
    return batches.prefetch(tf.data.AUTOTUNE)


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


def _label_lookup(clips, one_hot):
    """Return a function from a clip's index to its label."""
    import tensorflow as tf

    # Not a matrix: of two million clips and 527 classes, it would fill a gigabyte.
    lengths = [len(label) for label in clips.labels]
    flat = np.asarray([index for label in clips.labels for index in label], "int32")
    table = tf.RaggedTensor.from_row_lengths(flat, lengths)
    num_classes = len(clips.class_names)

    def label(index):
        indices = table[index]
        return tf.reduce_sum(tf.one_hot(indices, num_classes), axis=0) if one_hot else indices[0]

    return label


def _crop(waveform, length, seed):
    import tensorflow as tf

    places = tf.maximum(tf.size(waveform) - length, 0) + 1
    start = tf.random.stateless_uniform([], seed, 0, places, tf.int32)
    return waveform[start : start + length]
