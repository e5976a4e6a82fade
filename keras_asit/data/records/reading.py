"""Passes over the clips of a folder of records."""

import io
import os

import numpy as np
import tensorflow as tf

from keras_asit._files import sha256_of
from keras_asit._numpy_function import numpy_function
from keras_asit.data.decoding import UNREADABLE, read_waveform
from keras_asit.data.passes import Passes
from keras_asit.data.records.format import RecordFormat, absolute, read_record_index

# As many shards are under way at once, so that batches mix their clips.
CYCLE = 8


class RecordPasses(Passes):
    """Passes over the records of a folder, or over the share of them that is a host's.

    Shuffled, each pass has an order of shards of its own and within each shard an order of records;
    eight shards take turns. Encoded files are resampled to `sample_rate`, log-mels must have
    `num_mels`, and with `waveforms` clips must be such. `passes` are arguments of `Passes`.
    """

    of = "records"

    def __init__(
        self, folder, sample_rate, *, num_mels=None, waveforms=True, decoder="soundfile", **passes
    ):
        if decoder != "soundfile":
            raise ValueError(
                "Another `decoder` is for audio files; records are read without one. Received: "
                f"decoder={decoder!r}"
            )
        self.folder = absolute(folder)
        self.index = read_record_index(folder)
        self.sample_rate = sample_rate
        self.whole = set()
        self._check(num_mels, waveforms)
        self.counts = [shard["records"] for shard in self.index["shards"]]
        super().__init__(self.counts, **passes)

    def _check(self, num_mels, waveforms):
        """Raise `ValueError` unless records are what this front end would make of the files."""
        index, content = self.index, self.index["content"]
        if content == "log_mel" and waveforms:
            raise ValueError(
                f"{self.folder} holds log-mels, of which no waveforms can be made; write records "
                "with content 'waveform'."
            )
        wanted = RecordFormat(content, self.sample_rate, num_mels, index["max_seconds"])
        made, wanted = (
            {"sample_rate": each["sample_rate"], **(each["front_end"] or {})}
            for each in (index, wanted.parameters())
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

    def clips(self):
        def begin():
            entries, _, left_out = self.begin()
            return entries, np.int64(left_out)

        def one_pass(_):
            entries, left_out = numpy_function(begin, [], [tf.int64, tf.int64])
            entries = tf.ensure_shape(entries, [len(self.parts), 2])
            examples = self._examples(entries)
            if self.num_hosts > 1:
                ours = examples.enumerate().filter(lambda place, _: self.is_ours(place))
                left_out, examples = (
                    left_out // self.num_hosts,
                    ours.map(lambda _, example: example),
                )
            return examples.skip(tf.ensure_shape(left_out, []))

        workers = self.num_workers or tf.data.AUTOTUNE
        examples = tf.data.Dataset.range(1).flat_map(one_pass)
        clips = examples.map(self._decode, workers, deterministic=True)
        if self.start.batch:
            return clips
        number = int(np.sum(self.is_ours(np.arange(self.num_clips))))
        return clips.apply(tf.data.experimental.assert_cardinality(number))

    def files(self, entries, unreadable, first, stop):
        examples = self._examples(entries).skip(first).take(stop - first)
        paths = examples.map(lambda example, _: _parse(example)["path"])
        return [os.fsdecode(path) for path in paths.as_numpy_iterator()]

    def _examples(self, entries):
        """Return a dataset of the serialized records of one pass, each with its seed."""
        counts = tf.constant(self.counts, tf.int64)

        def open_shard(entry):
            path = numpy_function(self._verified, [entry[1]], tf.string)
            count = counts[entry[1]]
            order = tf.range(count)
            if self.shuffle:
                chances = tf.random.stateless_uniform([count], entry, dtype=tf.float64)
                order = tf.cast(tf.argsort(chances), tf.int64)

            def reorder(examples):
                # Places in a shard are below 2**32 by far.
                return tf.data.Dataset.from_tensor_slices(order).map(
                    lambda place: (examples[place], tf.stack([entry[0], entry[1] * 2**32 + place]))
                )

            return tf.data.TFRecordDataset(path).batch(count).flat_map(reorder)

        cycle = min(CYCLE, len(self.parts)) if self.shuffle else 1
        shards = tf.data.Dataset.from_tensor_slices(entries)
        records = shards.interleave(open_shard, cycle, 1, cycle, deterministic=True)
        return records.take(self.num_clips)

    def _verified(self, shard):
        """Return the path of a shard, once its checksum is that of the index."""
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

    def _decode(self, example, seed):
        """Return the clip of a serialized record."""
        clip = _parse(example)
        audio, content = clip["audio"], self.index["content"]
        if content == "encoded":
            audio = numpy_function(self._read, [audio, clip["path"]], tf.float32)
            audio = tf.ensure_shape(audio, [None])
            clip["samples"] = tf.size(audio, tf.int64)
        elif content == "waveform":
            audio = tf.cast(tf.io.decode_raw(audio, tf.int16), tf.float32) * (1 / 32768)
        else:
            audio = tf.io.decode_raw(audio, tf.float16)
            audio = tf.reshape(audio, [-1, self.index["front_end"]["num_mels"]])
        return {**clip, "audio": audio, "seed": seed}

    def _read(self, audio, path):
        try:
            return read_waveform(io.BytesIO(audio), self.sample_rate)
        except UNREADABLE as error:
            path = os.fsdecode(path)
            raise ValueError(f"Record of {path} cannot be decoded: {error}") from None


def _parse(example):
    text = tf.io.FixedLenFeature([], tf.string)
    none = tf.io.FixedLenFeature([], tf.int64, default_value=0)
    labels = tf.io.RaggedFeature(tf.int64)
    features = {"audio": text, "path": text, "samples": none, "labels": labels}
    return tf.io.parse_single_example(example, features)
