"""Batches of labelled clips, for `ASiTAudioClassifier.fit`."""

import numpy as np

from keras_asit.arguments import as_seed, check_number, check_positive_integer
from keras_asit.data.clip_passes import clip_passes
from keras_asit.data.labeled_clips import LabeledClips

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
    num_parallel_calls=None,
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
        num_parallel_calls: int. How many clips are decoded at once. Defaults to `None`:
            `tf.data` chooses.

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
    seed = as_seed(seed)
    weights = None if weights is None else _as_chances(weights, len(clips))
    length = None if crop_seconds is None else round(crop_seconds * sample_rate)
    longest = None if crop_seconds is None else crop_seconds + SPARE_SECONDS
    label = _label_lookup(clips, one_hot or clips.multi_label)

    def element(waveform, _, entry):
        index = entry[1] % len(clips)
        return waveform if length is None else _crop(waveform, length, entry), label(index)

    passes = clip_passes(
        clips.paths,
        sample_rate,
        shuffle,
        seed,
        num_parallel_calls,
        weights=weights,
        max_seconds=longest,
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
