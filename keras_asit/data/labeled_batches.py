"""Labeled batches to fine-tune on, from audio files or from records, and mixup of their clips."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_asit._arguments import check_integers, check_number
from keras_asit.data.event_labels import EventWindows, LabeledEvents
from keras_asit.data.labels import LabeledClips
from keras_asit.data.passes import FilePasses
from keras_asit.data.progress import ReadLog, Start
from keras_asit.data.records.format import holds_records
from keras_asit.data.records.reading import RecordPasses
from keras_asit.layers.pooling import NUM_STEPS

# Resampling a stretch of exactly a crop may leave one sample too few.
SPARE_SECONDS = 0.01
# Shares of mixup have a beta distribution with both parameters this.
MIXUP_ALPHA = 10.0


def labeled_dataset(
    clips: LabeledClips | LabeledEvents | str | os.PathLike,
    *,
    sample_rate: int = 16000,
    batch_size: int = 32,
    crop_seconds: float | None = None,
    one_hot: bool = False,
    mixup: float = 0.0,
    num_steps: int = NUM_STEPS,
    max_shift: float = 0.0,
    weights: Sequence[float] | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    drop_remainder: bool = False,
    num_workers: int | None = None,
    num_hosts: int = 1,
    host_index: int = 0,
    start: Start | None = None,
    log: ReadLog | None = None,
) -> tf.data.Dataset:
    """Return a finite dataset of batches of waveforms and labels: one pass over labeled files.

    What is not said here is as in `keras_asit.data.audio_dataset`, unreadable files too.

    Args:
        clips: `keras_asit.data.LabeledClips`; or str or `os.PathLike`, a folder of records of
            files or of waveforms, written with labels; or `keras_asit.data.LabeledEvents`, which
            become windows of `crop_seconds`, silence filling those that are shorter.
        sample_rate, shuffle, seed, num_workers: as in `keras_asit.data.audio_dataset`.
        batch_size: int. Defaults to `32`.
        crop_seconds: float. A longer clip is cut to a random stretch of this length, and little
            more than that is read of its file. Defaults to `None`: clips are whole.
        one_hot: bool. Whether labels of single-label clips have a column a class too, as
            `mixup` and label smoothing need them. Defaults to `False`.
        mixup: float in [0, 1]. How often a clip and its labels are mixed with another clip of the
            batch, which is cut or padded with silence to its length, in shares of a beta
            distribution with both parameters 10. Defaults to `0.0`.
        num_steps: int. Steps of a window of `LabeledEvents`, labeled each. Defaults to `250`.
        max_shift: float. Seconds by which windows of `LabeledEvents`, and their labels alike, are
            rolled at most, back or forth at random. Defaults to `0.0`.
        weights: array of shape `(clips,)`, such as `balanced_weights` gives. Each pass draws as
            many clips as there are, with replacement and chances in proportion to these, so that
            it is shuffled. Not of records. Defaults to `None`: each clip once.
        drop_remainder, num_hosts, host_index, start, log: as in `pretraining_dataset`; `mixup`
            mixes clips of a host's share. Defaults to `False`, one host, and `None`.

    Returns:
        A `tf.data.Dataset` of `(waveforms, labels)`: a ragged float32 tensor of shape
        `(batch, None)`, and int32 of shape `(batch,)`, or float32 of shape `(batch, classes)`
        if any clip has not exactly one label, or with `one_hot`. Labels of `LabeledEvents` are
        float32 of shape `(batch, num_steps, classes)`.

    Raises:
        ValueError: If an argument is invalid, or records have no labels.

    Example:
    ```python
    clips = keras_asit.data.read_labeled_clips("recordings")  # a folder a class
    dataset = keras_asit.data.labeled_dataset(clips, crop_seconds=5.0, shuffle=True)
    classifier.fit(dataset, epochs=10)
    ```

    Reference: Gong et al., "PSLA", arXiv 2102.01243, section III, for weights and mixup.
    """
    check_integers(1, sample_rate=sample_rate)
    if crop_seconds is not None:
        check_number("crop_seconds", crop_seconds, 1 / sample_rate)
    check_number("mixup", mixup, 0, 1)
    settings = {
        "shuffle": shuffle,
        "seed": seed,
        "batch_size": batch_size,
        "num_workers": num_workers,
        "num_hosts": num_hosts,
        "host_index": host_index,
        "start": start,
        "log": log,
    }
    if weights is not None and not isinstance(clips, LabeledClips):
        raise ValueError(
            "`weights` are for LabeledClips; records are read shard by shard, and events window by "
            "window."
        )
    if not isinstance(clips, LabeledEvents) and (max_shift or num_steps != NUM_STEPS):
        raise ValueError("`max_shift` and `num_steps` are for LabeledEvents, which have times.")
    if isinstance(clips, LabeledEvents):
        if crop_seconds is None:
            raise ValueError("`crop_seconds` must be given: the duration of a window of events.")
        check_number("max_shift", max_shift, 0)
        windows = EventWindows(clips, crop_seconds, num_steps)
        places = {"max_seconds": crop_seconds, "offsets": windows.offsets}
        passes = FilePasses(windows.paths, sample_rate, labels=windows, **places, **settings)
        class_names, multi_label = clips.class_names, True
    elif holds_records(clips):
        passes = RecordPasses(clips, sample_rate, **settings)
        class_names, multi_label = passes.index["class_names"], passes.index["multi_label"]
        if not class_names:
            raise ValueError(f"{clips} holds records without labels; write `LabeledClips`.")
    elif isinstance(clips, LabeledClips):
        class_names, multi_label = clips.class_names, clips.multi_label
        passes = FilePasses(
            clips.paths,
            sample_rate,
            labels=clips.labels,
            weights=None if weights is None else _as_chances(weights, len(clips)),
            max_seconds=None if crop_seconds is None else crop_seconds + SPARE_SECONDS,
            **settings,
        )
    else:
        raise ValueError(
            "`clips` must be LabeledClips, LabeledEvents or a folder of records. Received: "
            f"{clips if isinstance(clips, (str, os.PathLike)) else type(clips).__name__}"
        )
    one_hot = one_hot or multi_label
    if mixup and not one_hot:
        raise ValueError(
            f"`mixup` mixes labels of a column a class; set `one_hot=True`. Received: mixup={mixup}"
        )

    length = None if crop_seconds is None else round(crop_seconds * sample_rate)

    def element(clip):
        waveform, labels, seed = clip["audio"], clip["labels"], clip["seed"]
        if length is not None:
            places = tf.maximum(tf.size(waveform) - length, 0) + 1
            first = tf.random.stateless_uniform([], seed, 0, places, tf.int32)
            waveform = waveform[first : first + length]
        if one_hot:
            return waveform, tf.reduce_sum(tf.one_hot(labels, len(class_names)), axis=0), seed
        return waveform, tf.cast(labels[0], tf.int32), seed

    def finish(waveforms, labels, seeds):
        if not mixup:
            return waveforms, labels
        # That of the first clip: no other batch of any pass has it.
        return mix_clips(waveforms, labels, seeds[0], probability=mixup)

    def window(clip):
        waveform = clip["audio"][:length]
        waveform = tf.pad(waveform, [[0, length - tf.size(waveform)]])
        number = num_steps * len(class_names)
        ones = tf.math.bincount(
            tf.cast(clip["labels"], tf.int32), None, number, number, tf.float32, binary_output=True
        )
        labels = tf.reshape(ones, [num_steps, len(class_names)])
        most = round(max_shift / crop_seconds * num_steps)
        shift = tf.random.stateless_uniform([], clip["seed"], -most, most + 1, tf.int32)
        samples = tf.round(tf.cast(shift, tf.float32) * (length / num_steps))
        waveform = tf.roll(waveform, tf.cast(samples, tf.int32), 0)
        return waveform, tf.roll(labels, shift, 0), clip["seed"]

    read = window if isinstance(clips, LabeledEvents) else element
    share = batch_size // num_hosts
    batches = passes.clips().map(read).ragged_batch(share, drop_remainder=drop_remainder)
    return batches.map(finish).prefetch(tf.data.AUTOTUNE)


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


def mix_clips(clips, labels, seed, *, probability=1.0):
    """Mix ragged clips of a batch with other clips of it, and their float labels alike."""
    number = tf.shape(labels)[0]
    seeds = [tf.random.experimental.stateless_fold_in(seed, index) for index in range(3)]
    partners = tf.argsort(tf.random.stateless_uniform([number], seeds[0]))
    chosen = tf.random.stateless_uniform([number], seeds[1]) < probability
    # Two variables of a gamma distribution make one of a beta distribution.
    one, other = tf.unstack(tf.random.stateless_gamma([2, number], seeds[2], MIXUP_ALPHA))
    shares = tf.where(chosen, one / (one + other), 1.0)

    def mix(values):
        own = tf.reshape(shares, [-1, *[1] * (values.shape.rank - 1)])
        return own * values + (1 - own) * tf.gather(values, partners)

    mixed = tf.RaggedTensor.from_tensor(mix(clips.to_tensor()), clips.row_lengths())
    return mixed, mix(labels)
