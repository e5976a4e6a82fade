"""Passes over the clips of a folder of records."""

import io
import itertools
import numbers
import os
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from keras_asit._arguments import check_positive_integer, draw_seed
from keras_asit.data.decoding import read_waveform
from keras_asit.data.passes import Start
from keras_asit.data.records.folder import file_sha256, read_record_index
from keras_asit.data.records.format import RecordFormat
from keras_asit.data.views import LogMelViews, RandomViews, view_arguments
from keras_asit.models import AUDIOSET_MEAN, AUDIOSET_STANDARD_DEVIATION

# As many shards are under way at once, so that batches mix their clips.
CYCLE = 8


def record_clips(
    folder, index, shards, sample_rate, shuffle, seed, num_workers, first_pass=0, begun=None
):
    """Return a dataset whose every iteration is another pass over clips of records.

    The first pass over a dataset of some seed is the same on every run, and so is the second,
    which differs from the first. Each pass has an order of shards of its own and within each
    shard an order of records; eight shards take turns.

    Args:
        folder: `pathlib.Path` of the records.
        index: dict. Their index.
        shards: list of ints. The shards to read.
        sample_rate: int. Of waveforms, in Hz.
        shuffle: bool. Without, clips come in the order in which they are stored.
        seed: int.
        num_workers: int. Number of clips decoded at once; `None` lets `tf.data` choose.
        first_pass: int. Number of the pass to start with. Defaults to `0`.

    Returns:
        A `tf.data.Dataset` of dicts: `clip`, a float32 waveform or float16 log-mels of shape
        `(frames, mels)`; `samples`, the length of the waveform; `path`; and `seed`, int64 of
        shape `(2,)`, another one for each clip in each pass.
    """
    import tensorflow as tf

    records = _record_features(folder, index, shards, shuffle, seed, first_pass, begun)
    return records.map(
        _decoder(index, sample_rate),
        num_parallel_calls=num_workers or tf.data.AUTOTUNE,
        deterministic=True,
    )


def record_paths(folder, index, shards, shuffle, seed, number, first, stop):
    """Return the paths of clips `first` to `stop` - 1 of a pass, the one of that number.

    The other arguments are those of `record_clips`, whose clips they are.
    """
    records = _record_features(folder, index, shards, shuffle, seed, number)
    paths = records.map(lambda features: features["path"]).skip(first).take(stop - first)
    return [os.fsdecode(path) for path in paths.as_numpy_iterator()]


def _record_features(folder, index, shards, shuffle, seed, first_pass, begun=None):
    """Return a dataset of the features of records, not decoded, as `record_clips` describes."""
    import tensorflow as tf

    passes = _Passes(folder, index, shards, shuffle, seed, first_pass, begun)
    counts = tf.constant([shard["records"] for shard in index["shards"]], tf.int64)

    def begin(_):
        return tf.ensure_shape(tf.numpy_function(passes.begin, [], tf.int64), [len(shards), 2])

    def open_shard(entry):
        path = tf.numpy_function(passes.verified, [entry[1]], tf.string)
        examples = tf.data.TFRecordDataset(path).batch(counts[entry[1]])
        return examples.flat_map(lambda batch: _shuffled(_parse(batch), entry, shuffle))

    entries = tf.data.Dataset.range(1).map(begin).unbatch()
    if not shuffle:
        return entries.flat_map(open_shard)
    cycle = min(CYCLE, len(shards))
    return entries.interleave(open_shard, cycle, 1, cycle, deterministic=True)


class _Passes:
    """What happens in Python during passes; tensors come and go as numpy arrays.

    An entry of a pass is the pass's random number and the index of a shard.
    """

    def __init__(self, folder, index, shards, shuffle, seed, first_pass, begun):
        self.paths = [folder / shard["name"] for shard in index["shards"]]
        self.checksums = [shard["sha256"] for shard in index["shards"]]
        self.shards = shards
        self.shuffle = shuffle
        self.seed = seed
        self.passes = count(first_pass)
        self.begun = begun
        self.whole = set()

    def begin(self):
        """Return the entries of a new pass."""
        epoch = next(self.passes)
        if self.begun is not None:
            self.begun(epoch)
        generator = np.random.default_rng([self.seed, epoch])
        number = generator.integers(2**63)
        order = np.asarray(self.shards, "int64")
        if self.shuffle:
            generator.shuffle(order)
        return np.stack([np.full_like(order, number), order], axis=1)

    def verified(self, shard):
        """Return the path of a shard, whose content is what was written.

        It is read whole for that in the first pass. In every pass, TensorFlow checks the checksum
        of each record.
        """
        path = self.paths[shard]
        if shard in self.whole:
            return os.fsencode(path)
        try:
            whole = file_sha256(path) == self.checksums[shard]
        except OSError as error:
            raise ValueError(f"Shard {path} cannot be read: {error}") from None
        if not whole:
            raise ValueError(
                f"Shard {path} is damaged: its checksum is not that of the index. Call "
                "`write_records` again to repair it."
            )
        self.whole.add(shard)
        return os.fsencode(path)


def _parse(examples):
    """Return the features of a batch of serialised examples, without their labels."""
    import tensorflow as tf

    none = tf.io.FixedLenFeature([], tf.int64, default_value=0)
    text = tf.io.FixedLenFeature([], tf.string)
    return tf.io.parse_example(examples, {"audio": text, "path": text, "samples": none})


def _shuffled(features, entry, shuffle):
    """Return a dataset of the records of a shard, each with its seed."""
    import tensorflow as tf

    order = tf.range(tf.size(features["samples"], tf.int64))
    if shuffle:
        order = tf.argsort(tf.random.stateless_uniform(tf.shape(order), entry, dtype=tf.float64))
        order = tf.cast(order, tf.int64)

    def record(position):
        # Positions in a shard are below 2**32 by far.
        seed = tf.stack([entry[0], entry[1] * 2**32 + position])
        return {**{name: values[position] for name, values in features.items()}, "seed": seed}

    return tf.data.Dataset.from_tensor_slices(order).map(record)


def _decoder(index, sample_rate):
    """Return a function from a record's features to its clip."""
    import tensorflow as tf

    def encoded(audio, path):
        try:
            return read_waveform(io.BytesIO(audio), sample_rate)
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"Record of {os.fsdecode(path)} cannot be decoded: {error}") from None

    def decode(features):
        audio = features["audio"]
        if index["kind"] == "encoded":
            clip = tf.numpy_function(encoded, [audio, features["path"]], tf.float32)
            clip = tf.ensure_shape(clip, [None])
            features = {**features, "samples": tf.size(clip, tf.int64)}
        elif index["kind"] == "waveform":
            clip = tf.cast(tf.io.decode_raw(audio, tf.int16), tf.float32) * (1 / 32768)
        else:
            clip = tf.io.decode_raw(audio, tf.float16)
            clip = tf.reshape(clip, [-1, index["front_end"]["num_mels"]])
        rest = {name: features[name] for name in ("samples", "path", "seed")}
        return {"clip": clip, **rest}

    return decode


def read_records(
    folder,
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
    num_hosts=1,
    host_index=0,
    num_workers=None,
    start=None,
    log=None,
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
        num_short_crops: int. Number of short crops of each clip. Defaults to `0`.
        short_crop_seconds: float. Length of a short crop. Defaults to `2.0`.
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
        num_hosts: int. In training on several machines, their number. Each reads shards of its
            own, and all as many clips; what one has in excess of that, other clips in each
            shuffled pass, is left out. Defaults to `1`.
        host_index: int. Which of the hosts this is, from 0. Defaults to `0`.
        num_workers: int. How many clips are converted at once. Defaults to `None`:
            `tf.data` chooses.
        start: `keras_asit.data.Start`. Where to start; what lies before it in its pass is read,
            but not used. Defaults to `None`, the first batch.
        log: `keras_asit.data.ReadLog` that notes what is read. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of dicts of float32: `"clean"` of shape `(batch, 2, frames, mels)`
        and, with `num_short_crops`, `"short"` of shape `(batch, num_short_crops, frames,
        mels)`. With `spectrograms=False`, `(batch, 2, samples)` and `(batch, num_short_crops,
        samples)`.

    Raises:
        ValueError: If an argument is invalid, the folder holds no finished records, shards are
            missing, records were made with another front end, or are too few for a batch or for
            the hosts. A pass ends in `tf.errors.InvalidArgumentError`, which names the shard,
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
        num_short_crops,
        short_crop_seconds,
        num_mels,
        mean,
        standard_deviation,
        roll_probability,
    )
    check_positive_integer("batch_size", batch_size)
    seed = draw_seed(seed)
    if num_workers is not None:
        check_positive_integer("num_workers", num_workers)
    index = read_record_index(folder)
    check_front_end(folder, index, sample_rate, num_mels, spectrograms)
    shards, num_clips = _share(index, num_hosts, host_index)
    num_batches = num_clips // batch_size if drop_remainder else -(-num_clips // batch_size)
    if not num_batches:
        raise ValueError(
            f"{num_clips} records do not fill one batch; lower `batch_size` or set "
            f"`drop_remainder=False`. Received: batch_size={batch_size}"
        )
    path = Path(folder).expanduser().absolute()
    start = start or Start()

    def files(epoch, first_batch, last_batch):
        first, stop = first_batch * batch_size, (last_batch + 1) * batch_size
        return record_paths(path, index, shards, shuffle, seed, epoch, first, stop)

    def begin(epoch):
        if log is not None:
            log.begin(epoch, partial(files, epoch))

    clips = record_clips(
        path, index, shards, sample_rate, shuffle, seed, num_workers, start.epoch, begin
    )
    make_views, finish = _conversion(index["kind"], view, spectrograms)
    batches = (
        clips.map(
            make_views,
            num_parallel_calls=num_workers or tf.data.AUTOTUNE,
            deterministic=True,
        )
        .take(num_clips)
        .batch(batch_size, drop_remainder=drop_remainder)
    )
    if finish is not None:
        batches = batches.map(finish, num_parallel_calls=num_workers or tf.data.AUTOTUNE)
    if start.batch:
        # The first pass is shorter than the others, so that their number is left unknown.
        return _leave_out(batches, start.batch).prefetch(tf.data.AUTOTUNE)
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


def _share(index, num_hosts, host_index):
    """Return the shards of a host, and how many clips every host reads in a pass."""
    check_positive_integer("num_hosts", num_hosts)
    is_integer = isinstance(host_index, numbers.Integral) and not isinstance(host_index, bool)
    if not is_integer or not 0 <= host_index < num_hosts:
        raise ValueError(
            f"`host_index` must be an integer from 0 to {num_hosts - 1}, less than "
            f"`num_hosts`. Received: host_index={host_index!r}"
        )
    counts = [shard["records"] for shard in index["shards"]]
    filled = [number for number, count in enumerate(counts) if count]
    if len(filled) < num_hosts:
        raise ValueError(
            f"{len(filled)} shards do not suffice for {num_hosts} hosts; write records with "
            "fewer `clips_per_shard`."
        )
    shares = [filled[host::num_hosts] for host in range(num_hosts)]
    num_clips = min(sum(counts[number] for number in share) for share in shares)
    return shares[host_index], num_clips


def _conversion(kind, view, spectrograms):
    """Return functions from a record to its views, and from a batch of views to what is fed."""
    if kind != "log_mel":
        views = RandomViews(**view, spectrograms=spectrograms)
        return lambda record: views(record["clip"], record["seed"]), None
    views = LogMelViews(**view)
    converter = view["converter"]

    def normalize(batch):
        return {name: converter.normalize(crops) for name, crops in batch.items()}

    return lambda record: views(record["clip"], record["samples"], record["seed"]), normalize


def record_dataset(folder, sample_rate=16000):
    """Return a finite dataset of the waveforms in a folder of records: one pass over them.

    Args:
        folder: str or `os.PathLike`. What `keras_asit.data.write_records` has written, of kind
            `"encoded"` or `"waveform"`.
        sample_rate: int. In Hz; must be that of the records, except that files are resampled.
            Defaults to `16000`.

    Returns:
        A `tf.data.Dataset` of `(waveform, path)`, as `keras_asit.data.audio_dataset` has them.

    Raises:
        ValueError: If the folder holds no finished records, or those of log-mels or of another
            sample rate.

    Example:

    ```python
    converter = keras_asit.models.ASiTAudioConverter()
    converter.adapt(keras_asit.data.record_dataset("records"))
    ```
    """
    check_positive_integer("sample_rate", sample_rate)
    index = read_record_index(folder)
    check_front_end(folder, index, sample_rate, spectrograms=False)
    shards = [number for number, shard in enumerate(index["shards"]) if shard["records"]]
    path = Path(folder).expanduser().absolute()
    clips = record_clips(path, index, shards, sample_rate, False, 0, None)
    return clips.map(lambda record: (record["clip"], record["path"]))
