"""Labeled batches to fine-tune on, from audio files or from records, and mixup of their clips."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_asit._arguments import check_integers, check_number
from keras_asit.data.labels import LabeledClips
from keras_asit.data.passes import FilePasses
from keras_asit.data.progress import ReadLog, Start
from keras_asit.data.records.format import holds_records
from keras_asit.data.records.reading import RecordPasses

# Resampling a stretch of exactly a crop may leave one sample too few.
SPARE_SECONDS = 0.01
# Shares of mixup have a beta distribution with both parameters this.
MIXUP_ALPHA = 10.0


def labeled_dataset(
    clips: LabeledClips | str | os.PathLike,
    *,
    sample_rate: int = 16000,
    batch_size: int = 32,
    crop_seconds: float | None = None,
    one_hot: bool = False,
    mixup: float = 0.0,
    weights: Sequence[float] | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    drop_remainder: bool = False,
    num_workers: int | None = None,
    start: Start | None = None,
    log: ReadLog | None = None,
) -> tf.data.Dataset:
    """Return a finite dataset of batches of waveforms and labels: one pass over labeled files.

    What is not said here is as in `keras_asit.data.audio_dataset`, unreadable files too.

    Args:
        clips: `keras_asit.data.LabeledClips`; or str or `os.PathLike`, a folder of records of
            files or of waveforms, written with labels.
        sample_rate, shuffle, seed, num_workers: as in `keras_asit.data.audio_dataset`.
        batch_size: int. Defaults to `32`.
        crop_seconds: float. A longer clip is cut to a random stretch of this length, and little
            more than that is read of its file. Defaults to `None`: clips are whole.
        one_hot: bool. Whether labels of single-label clips have a column a class too, as
            `mixup` and label smoothing need them. Defaults to `False`.
        mixup: float in [0, 1]. How often a clip and its labels are mixed with another clip of the
            batch, which is cut or padded with silence to its length, in shares of a beta
            distribution with both parameters 10. Defaults to `0.0`.
        weights: array of shape `(clips,)`, such as `balanced_weights` gives. Each pass draws as
            many clips as there are, with replacement and chances in proportion to these, so that
            it is shuffled. Not of records. Defaults to `None`: each clip once.
        drop_remainder, start, log: as in `pretraining_dataset`. Defaults to `False` and `None`.

    Returns:
        A `tf.data.Dataset` of `(waveforms, labels)`: a ragged float32 tensor of shape
        `(batch, None)`, and int32 of shape `(batch,)`, or float32 of shape `(batch, classes)`
        if any clip has not exactly one label, or with `one_hot`.

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
        "start": start,
        "log": log,
    }
    if holds_records(clips):
        if weights is not None:
            raise ValueError("`weights` are for LabeledClips; records are read shard by shard.")
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
            "`clips` must be LabeledClips or a folder of records. Received: "
            f"{clips if isinstance(clips, (str, os.PathLike)) else type(clips).__name__}"
        )
    one_hot = one_hot or multi_label
    if mixup and not one_hot:
        raise ValueError(
            f"`mixup` mixes labels of a column a class; set `one_hot=True`. Received: mixup={mixup}"
        )

    def element(clip):
        waveform, labels, seed = clip["audio"], clip["labels"], clip["seed"]
        if crop_seconds is not None:
            length = round(crop_seconds * sample_rate)
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

    batches = passes.clips().map(element).ragged_batch(batch_size, drop_remainder=drop_remainder)
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
    shares = tf.where(chosen, one / (one + other), 1.0)[:, None]

    def mix(values):
        return shares * values + (1 - shares) * tf.gather(values, partners)

    mixed = tf.RaggedTensor.from_tensor(mix(clips.to_tensor()), clips.row_lengths())
    return mixed, mix(labels)
