"""Batches of random views of the clips in records, for `ASiTPretrainer.fit`."""

import itertools
import numbers
import random
from functools import partial
from pathlib import Path

import numpy as np

from keras_asit.arguments import as_seed, check_positive_integer
from keras_asit.data.data_position import DataPosition
from keras_asit.data.log_mel_views import LogMelViews
from keras_asit.data.random_views import RandomViews
from keras_asit.data.read_record_index import read_record_index
from keras_asit.data.record_clips import record_clips, record_paths
from keras_asit.data.record_format import RecordFormat
from keras_asit.data.view_arguments import view_arguments
from keras_asit.models import AUDIOSET_MEAN, AUDIOSET_STANDARD_DEVIATION


def read_records(
    folder,
    sample_rate=16000,
    batch_size=32,
    crop_seconds=6.0,
    num_local_crops=0,
    local_crop_seconds=2.0,
    num_mels=128,
    mean=AUDIOSET_MEAN,
    standard_deviation=AUDIOSET_STANDARD_DEVIATION,
    roll_probability=0.5,
    spectrograms=True,
    shuffle=True,
    seed=None,
    drop_remainder=True,
    num_workers=1,
    worker_index=0,
    num_parallel_calls=None,
    position=None,
):
    """Return a finite dataset of batches to pre-train on: one pass over a folder of records.

    The batches are those of `keras_asit.data.pretraining_dataset`. From records of files and of
    waveforms views are made in the same way. Those of log-mels are cropped and rolled in whole
    frames: crops start at multiples of 10 ms, and no frame of a rolled clip has both its end and
    its beginning in it.

    The dataset knows its cardinality. The first pass checks each shard against its checksum in
    the index, and every pass each record against its own.

    Args:
        folder: str or `os.PathLike`. What `keras_asit.data.write_records` has written.
        sample_rate: int. In Hz; must be that of the records, except that files are resampled.
            Defaults to `16000`.
        batch_size: int. Number of clips of a batch. Defaults to `32`.
        crop_seconds: float. Length of a crop. Defaults to `6.0`.
        num_local_crops: int. Number of short crops of each clip. Defaults to `0`.
        local_crop_seconds: float. Length of a short crop. Defaults to `2.0`.
        num_mels: int. Mel bins; must be that of records of log-mels. Defaults to `128`.
        mean: float. Mean of the log-mels. Defaults to `-4.2677393`, AudioSet's.
        standard_deviation: float. Defaults to `4.5689974`, AudioSet's.
        roll_probability: float in [0, 1]. Defaults to `0.5`.
        spectrograms: bool. Whether views are spectrograms, or waveforms (not from log-mels).
            Defaults to `True`.
        shuffle: bool. Whether each pass has an order of its own: of shards, eight of which take
            turns, and of the clips in each. Defaults to `True`.
        seed: int. The same seed gives the same batches in the first pass of every run, in the
            second pass, and so on; passes differ. Defaults to `None`, a random one.
        drop_remainder: bool. Whether clips that do not fill a last batch are left out. Defaults
            to `True`.
        num_workers: int. In training on several machines, their number. Each reads shards of its
            own, and all as many clips; what one has in excess of that, other clips in each
            shuffled pass, is left out. Defaults to `1`.
        worker_index: int. Which of the workers this is, from 0. Defaults to `0`.
        num_parallel_calls: int. How many clips are converted at once. Defaults to `None`:
            `tf.data` chooses.
        position: a `DataPosition` to start at instead of the first batch of the first pass. What
            lies before it in its pass is read, but not used.

    Returns:
        A `tf.data.Dataset` of dicts of float32: `"clean"` of shape `(batch, 2, frames, mels)`
        and, with `num_local_crops`, `"local"` of shape `(batch, num_local_crops, frames,
        mels)`. With `spectrograms=False`, `(batch, 2, samples)` and `(batch, num_local_crops,
        samples)`.

    Raises:
        ValueError: If an argument is invalid, the folder holds no finished records, shards are
            missing, records were made with another front end, or are too few for a batch or for
            the workers. A pass ends in `tf.errors.InvalidArgumentError`, which names the shard,
            if one is damaged.

    Example:

    ```python
    dataset = keras_asit.data.read_records("records", batch_size=64, seed=1)
    pretrainer.fit(dataset, epochs=100)
    ```
    """
    import tensorflow as tf

    view = view_arguments(
        sample_rate,
        crop_seconds,
        num_local_crops,
        local_crop_seconds,
        num_mels,
        mean,
        standard_deviation,
        roll_probability,
    )
    check_positive_integer("batch_size", batch_size)
    seed = as_seed(seed)
    if num_parallel_calls is not None:
        check_positive_integer("num_parallel_calls", num_parallel_calls)
    index = read_record_index(folder)
    check_front_end(folder, index, sample_rate, num_mels, spectrograms)
    shards, num_clips = _share(index, num_workers, worker_index)
    num_batches = num_clips // batch_size if drop_remainder else -(-num_clips // batch_size)
    if not num_batches:
        raise ValueError(
            f"{num_clips} records do not fill one batch; lower `batch_size` or set "
            f"`drop_remainder=False`. Received: batch_size={batch_size}"
        )
    path = Path(folder).expanduser().absolute()
    # From Python's generator, so that `keras.utils.set_random_seed` governs this too.
    seed = random.randrange(2**32) if seed is None else seed
    position = DataPosition() if position is None else position
    position.batch_size = batch_size
    position.read_paths = partial(record_paths, path, index, shards, shuffle, seed)
    clips = record_clips(
        path, index, shards, sample_rate, shuffle, seed, num_parallel_calls, position.epoch
    )
    make_views, finish = _conversion(index["kind"], view, spectrograms)
    batches = (
        clips.map(
            make_views,
            num_parallel_calls=num_parallel_calls or tf.data.AUTOTUNE,
            deterministic=True,
        )
        .take(num_clips)
        .batch(batch_size, drop_remainder=drop_remainder)
    )
    if finish is not None:
        batches = batches.map(finish, num_parallel_calls=num_parallel_calls or tf.data.AUTOTUNE)
    if position.batch:
        # The first pass is shorter than the others, so that their number is left unknown.
        return _leave_out(batches, position.batch).prefetch(tf.data.AUTOTUNE)
    batches = batches.apply(tf.data.experimental.assert_cardinality(num_batches))
    return batches.prefetch(tf.data.AUTOTUNE)


def _leave_out(batches, number):
    """Leave out the first batches, of the first pass only."""
    import tensorflow as tf

    numbers = itertools.chain([number], itertools.repeat(0))

    def rest(_):
        return batches.skip(tf.numpy_function(lambda: np.int64(next(numbers)), [], tf.int64))

    return tf.data.Dataset.range(1).flat_map(rest)


def check_front_end(folder, index, sample_rate, num_mels=128, spectrograms=True):
    """Raise `ValueError` unless records are what this front end would make of the files."""
    kind = index["kind"]
    if kind == "log_mel" and not spectrograms:
        raise ValueError(
            f"{folder} holds log-mels, of which no waveforms can be made; write records of kind "
            "'waveform' for `spectrograms=False`."
        )
    wanted = RecordFormat(kind, sample_rate, num_mels, index["max_seconds"]).parameters()
    made = {"sample_rate": index["sample_rate"], **(index["front_end"] or {})}
    wanted = {"sample_rate": wanted["sample_rate"], **(wanted["front_end"] or {})}
    different = [name for name in wanted if made.get(name) != wanted[name]]
    if different:
        described = ", ".join(
            f"{name}={made.get(name)!r} instead of {wanted[name]!r}" for name in different
        )
        raise ValueError(
            f"{folder} was made with another front end: {described}. Read it with the same "
            "arguments, or write the records again."
        )


def _share(index, num_workers, worker_index):
    """Return the shards of a worker, and how many clips every worker reads in a pass."""
    check_positive_integer("num_workers", num_workers)
    is_integer = isinstance(worker_index, numbers.Integral) and not isinstance(worker_index, bool)
    if not is_integer or not 0 <= worker_index < num_workers:
        raise ValueError(
            f"`worker_index` must be an integer from 0 to {num_workers - 1}, less than "
            f"`num_workers`. Received: worker_index={worker_index!r}"
        )
    counts = [shard["records"] for shard in index["shards"]]
    filled = [number for number, count in enumerate(counts) if count]
    if len(filled) < num_workers:
        raise ValueError(
            f"{len(filled)} shards do not suffice for {num_workers} workers; write records with "
            "fewer `clips_per_shard`."
        )
    shares = [filled[worker::num_workers] for worker in range(num_workers)]
    num_clips = min(sum(counts[number] for number in share) for share in shares)
    return shares[worker_index], num_clips


def _conversion(kind, view, spectrograms):
    """Return functions from a record to its views, and from a batch of views to what is fed."""
    import tensorflow as tf

    if kind != "log_mel":
        views = RandomViews(**view, spectrograms=spectrograms)
        return lambda record: views(record["clip"], record["seed"]), None
    views = LogMelViews(**view)
    converter = view["converter"]

    def normalize(batch):
        return {
            name: (tf.cast(crops, tf.float32) - converter.mean) / (2 * converter.standard_deviation)
            for name, crops in batch.items()
        }

    return lambda record: views(record["clip"], record["samples"], record["seed"]), normalize
