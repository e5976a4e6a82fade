"""Passes over the clips of a folder of records."""

import io
import itertools
import os

import numpy as np

from keras_asit._files import sha256_of
from keras_asit.data.decoding import read_waveform
from keras_asit.data.passes import Start
from keras_asit.data.records.folder import absolute, read_record_index
from keras_asit.data.records.format import RecordFormat

# As many shards are under way at once, so that batches mix their clips.
CYCLE = 8


class RecordPasses:
    """Passes over the records of a folder, or over the share of them that is a host's.

    The first pass with some seed is the same on every run, and so is the second, which differs from
    the first. Shuffled, each pass has an order of shards of its own and within each shard an order
    of records; eight shards take turns.

    Args:
        folder: str or `os.PathLike`.
        shuffle: bool. Without, clips come in the order in which they are stored.
        seed: int.
        batch_size: int. Clips of a batch, in which `start` and `log` count. Defaults to `1`.
        num_hosts: int. Hosts that read shards of their own, all as many clips. Defaults to `1`.
        host_index: int. Which of them this is. Defaults to `0`.
        start: `Start`. Defaults to `None`, the first batch of the first pass.
        log: `ReadLog` to note passes in. Defaults to `None`.

    Attributes:
        index: dict. The index of the folder.
        num_clips: int. How many clips a pass has.

    Raises:
        ValueError: If the folder holds no finished records, or has fewer shards than hosts.
    """

    def __init__(
        self,
        folder,
        *,
        shuffle,
        seed,
        batch_size=1,
        num_hosts=1,
        host_index=0,
        start=None,
        log=None,
    ):
        self.folder = absolute(folder)
        self.index = read_record_index(folder)
        self.shuffle = shuffle
        self.seed = seed
        self.batch_size = batch_size
        self.start = start or Start()
        self.log = log
        self.whole = set()
        counts = [shard["records"] for shard in self.index["shards"]]
        filled = [shard for shard, count in enumerate(counts) if count]
        if len(filled) < num_hosts:
            raise ValueError(
                f"{len(filled)} shards do not suffice for {num_hosts} hosts; write records with "
                "fewer `clips_per_shard`."
            )
        shares = [filled[host::num_hosts] for host in range(num_hosts)]
        self.shards = shares[host_index]
        self.num_clips = min(sum(counts[shard] for shard in share) for share in shares)

    def check(self, sample_rate, num_mels=None, *, waveforms=False):
        """Raise `ValueError` unless records are what this front end would make of the files."""
        index, content = self.index, self.index["content"]
        if content == "log_mel" and waveforms:
            raise ValueError(
                f"{self.folder} holds log-mels, of which no waveforms can be made; write records "
                "with content 'waveform'."
            )
        wanted = RecordFormat(content, sample_rate, num_mels, index["max_seconds"]).parameters()
        made, wanted = (
            {"sample_rate": each["sample_rate"], **(each["front_end"] or {})}
            for each in (index, wanted)
        )
        different = [
            f"{name}={made.get(name)!r} instead of {wanted[name]!r}"
            for name in wanted
            if made.get(name) != wanted[name]
        ]
        if different:
            raise ValueError(
                f"{self.folder} was made with another front end: {', '.join(different)}. Read it "
                "with the same one, or write the records again."
            )

    def clips(self, sample_rate, num_workers=None):
        """Return a dataset whose every iteration is another pass.

        Args:
            sample_rate: int. In Hz, to which encoded files are resampled.
            num_workers: int. Clips decoded at once. Defaults to `None`: `tf.data` chooses.

        Returns:
            A `tf.data.Dataset` of `(clip, path, seed, samples, labels)`: a float32 waveform or
            float16 log-mels of shape `(frames, mels)`; a string; int64 of shape `(2,)`, another
            one for each clip in each pass; how long the waveform is; and the indices of classes.
        """
        import tensorflow as tf

        return self._records(self.start, self.log).map(
            self._decoder(sample_rate),
            num_parallel_calls=num_workers or tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _records(self, start, log=None):
        """Return a dataset of passes over the features of records, not decoded."""
        import tensorflow as tf

        epochs = itertools.count(start.epoch)
        counts = tf.constant([shard["records"] for shard in self.index["shards"]], tf.int64)

        def begin(_):
            return tf.ensure_shape(tf.numpy_function(order, [], tf.int64), [len(self.shards), 2])

        def order():
            epoch = next(epochs)
            if log is not None:
                log.begin(epoch, lambda first, last: self._files(epoch, first, last))
            return self._order(epoch)

        def open_shard(entry):
            path = tf.numpy_function(self._verified, [entry[1]], tf.string)
            examples = tf.data.TFRecordDataset(path).batch(counts[entry[1]])
            return examples.flat_map(lambda batch: self._ordered(_parse(batch), entry))

        entries = tf.data.Dataset.range(1).map(begin).unbatch()
        cycle = min(CYCLE, len(self.shards)) if self.shuffle else 1
        records = entries.interleave(open_shard, cycle, 1, cycle, deterministic=True)
        records = records.take(self.num_clips)
        if not start.batch:
            return records
        # Of the first pass only.
        numbers = itertools.chain([start.batch * self.batch_size], itertools.repeat(0))

        def rest(_):
            return records.skip(tf.numpy_function(lambda: np.int64(next(numbers)), [], tf.int64))

        return tf.data.Dataset.range(1).flat_map(rest)

    def _order(self, epoch):
        """Return for each shard of a pass the pass's random number and the shard's index."""
        generator = np.random.default_rng([self.seed, epoch])
        number = generator.integers(2**63)
        order = np.asarray(self.shards, "int64")
        if self.shuffle:
            generator.shuffle(order)
        return np.stack([np.full_like(order, number), order], axis=1)

    def _files(self, epoch, first_batch, last_batch):
        records = self._records(Start(epoch, first_batch))
        records = records.take((last_batch + 1 - first_batch) * self.batch_size)
        paths = records.map(lambda features, _: features["path"])
        return [os.fsdecode(path) for path in paths.as_numpy_iterator()]

    def _verified(self, shard):
        """Return the path of a shard, whose content is what was written.

        It is read whole for that in the first pass. In every pass, TensorFlow checks the checksum
        of each record.
        """
        path = self.folder / self.index["shards"][shard]["name"]
        if shard not in self.whole:
            try:
                checksum = sha256_of(path)
            except OSError as error:
                raise ValueError(f"Shard {path} cannot be read: {error}") from None
            if checksum != self.index["shards"][shard]["sha256"]:
                raise ValueError(
                    f"Shard {path} is damaged: its checksum is not that of the index. Call "
                    "`write_records` again to repair it."
                )
            self.whole.add(shard)
        return os.fsencode(path)

    def _ordered(self, features, entry):
        """Return a dataset of the records of a shard, each with its seed."""
        import tensorflow as tf

        order = tf.range(tf.size(features["samples"], tf.int64))
        if self.shuffle:
            chances = tf.random.stateless_uniform(tf.shape(order), entry, dtype=tf.float64)
            order = tf.cast(tf.argsort(chances), tf.int64)

        def record(place):
            # Places in a shard are below 2**32 by far.
            seed = tf.stack([entry[0], entry[1] * 2**32 + place])
            return {name: values[place] for name, values in features.items()}, seed

        return tf.data.Dataset.from_tensor_slices(order).map(record)

    def _decoder(self, sample_rate):
        """Return a function from a record's features and seed to its clip and what goes with it."""
        import tensorflow as tf

        content = self.index["content"]

        def encoded(audio, path):
            try:
                return read_waveform(io.BytesIO(audio), sample_rate)
            except (OSError, RuntimeError, ValueError) as error:
                name = os.fsdecode(path)
                raise ValueError(f"Record of {name} cannot be decoded: {error}") from None

        def decode(features, seed):
            audio, path, samples = (features[name] for name in ("audio", "path", "samples"))
            if content == "encoded":
                clip = tf.numpy_function(encoded, [audio, path], tf.float32)
                clip = tf.ensure_shape(clip, [None])
                samples = tf.size(clip, tf.int64)
            elif content == "waveform":
                clip = tf.cast(tf.io.decode_raw(audio, tf.int16), tf.float32) * (1 / 32768)
            else:
                clip = tf.io.decode_raw(audio, tf.float16)
                clip = tf.reshape(clip, [-1, self.index["front_end"]["num_mels"]])
            return clip, path, seed, samples, features["labels"]

        return decode


def _parse(examples):
    """Return the features of a batch of serialized examples."""
    import tensorflow as tf

    text = tf.io.FixedLenFeature([], tf.string)
    none = tf.io.FixedLenFeature([], tf.int64, default_value=0)
    labels = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
    features = {"audio": text, "path": text, "samples": none, "labels": labels}
    return tf.io.parse_example(examples, features)
