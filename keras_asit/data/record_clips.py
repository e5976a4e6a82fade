"""Passes over the clips of a folder of records."""

import io
import os
from itertools import count

import numpy as np

from keras_asit.data.decode_audio import read_waveform
from keras_asit.data.record_folder import file_sha256

# As many shards are under way at once, so that batches mix their clips.
CYCLE = 8


def record_clips(
    folder, index, shards, sample_rate, shuffle, seed, num_parallel_calls, first_pass=0
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
        num_parallel_calls: int. Number of clips decoded at once; `None` lets `tf.data` choose.
        first_pass: int. Number of the pass to start with. Defaults to `0`.

    Returns:
        A `tf.data.Dataset` of dicts: `clip`, a float32 waveform or float16 log-mels of shape
        `(frames, mels)`; `samples`, the length of the waveform; `path`; and `seed`, int64 of
        shape `(2,)`, another one for each clip in each pass.
    """
    import tensorflow as tf

    records = _record_features(folder, index, shards, shuffle, seed, first_pass)
    return records.map(
        _decoder(index, sample_rate),
        num_parallel_calls=num_parallel_calls or tf.data.AUTOTUNE,
        deterministic=True,
    )


def record_paths(folder, index, shards, shuffle, seed, number, first, stop):
    """Return the paths of clips `first` to `stop` - 1 of a pass, the one of that number.

    The other arguments are those of `record_clips`, whose clips they are.
    """
    records = _record_features(folder, index, shards, shuffle, seed, number)
    paths = records.map(lambda features: features["path"]).skip(first).take(stop - first)
    return [os.fsdecode(path) for path in paths.as_numpy_iterator()]


def _record_features(folder, index, shards, shuffle, seed, first_pass):
    """Return a dataset of the features of records, not decoded, as `record_clips` describes."""
    import tensorflow as tf

    passes = _Passes(folder, index, shards, shuffle, seed, first_pass)
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

    def __init__(self, folder, index, shards, shuffle, seed, first_pass):
        self.paths = [folder / shard["name"] for shard in index["shards"]]
        self.checksums = [shard["sha256"] for shard in index["shards"]]
        self.shards = shards
        self.shuffle = shuffle
        self.seed = seed
        self.passes = count(first_pass)
        self.whole = set()

    def begin(self):
        """Return the entries of a new pass."""
        generator = np.random.default_rng([self.seed, next(self.passes)])
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
