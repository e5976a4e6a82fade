"""Passes over the clips of a folder of records."""

import io
import os

import numpy as np
import tensorflow as tf

from keras_asit._numpy_function import numpy_function
from keras_asit.data.decoding import UNREADABLE, read_waveform
from keras_asit.data.passes import Passes
from keras_asit.data.records.format import RecordFormat, absolute, read_record_index
from keras_asit.data.records.shard import Shard

# So many shards are read at once, and their records mixed.
GROUP = 4
# A clip's number is its place in its shard, plus this times the shard.
PLACES = 2**32


class RecordPasses(Passes):
    """Passes over the records of a folder, or over the share of them that is a host's.

    Shuffled, each pass has an order of shards of its own, and the records of every four of them are
    mixed. A host reads the bytes of its own records, whose checksums it checks each time, and
    compares its share of the shards with the index once. Encoded files are resampled to
    `sample_rate`, log-mels must have `num_mels`, and with `waveforms` clips must be such. `passes`
    are arguments of `Passes`.
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
        self._check(num_mels, waveforms)
        self.shards = [
            Shard(self.folder, shard["name"], shard["sha256"], shard["records"])
            for shard in self.index["shards"]
        ]
        self.counts = np.array([shard.num_records for shard in self.shards], "int64")
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
        def one_pass(_):
            rows, bounds = numpy_function(self._begin, [], [tf.int64, tf.int64])
            rows, bounds = tf.ensure_shape(rows, [None, 2]), tf.ensure_shape(bounds, [None])
            groups = tf.data.Dataset.from_tensor_slices((bounds[:-1], bounds[1:]))
            return groups.map(lambda first, stop: read(rows[first:stop], first))

        def read(rows, first):
            examples, ours = numpy_function(self._read_group, [rows, first], [tf.string, tf.int64])
            return tf.ensure_shape(examples, [None]), tf.ensure_shape(ours, [None, 2])

        workers = self.num_workers or tf.data.AUTOTUNE
        groups = tf.data.Dataset.range(1).flat_map(one_pass).prefetch(1)
        clips = groups.unbatch().map(self._decode, workers, deterministic=True)
        if self.start.batch:
            return clips
        number = int(np.sum(self.is_ours(np.arange(self.num_clips))))
        return clips.apply(tf.data.experimental.assert_cardinality(number))

    def files(self, entries, unreadable, first, stop):
        rows, _ = self._order(entries)
        examples = self._read(rows[first:stop])
        return [os.fsdecode(_parse(example)["path"].numpy()) for example in examples]

    def _begin(self):
        """Return the rows of a new pass, and where groups of them begin, and the last ends."""
        entries, _, left_out = self.begin()
        rows, groups = self._order(entries)
        bounds = np.flatnonzero(np.diff(groups, prepend=-1, append=-1))
        # Groups before what is left out become empty.
        return rows, np.maximum(bounds, left_out)

    def _order(self, entries):
        """Return the rows of a pass, the pass's number and the clip's, and the group of each."""
        counts = self.counts[entries[:, 1]]
        rows = np.repeat(entries, counts, axis=0)
        begins = np.repeat(np.cumsum(counts) - counts, counts)
        rows[:, 1] = rows[:, 1] * PLACES + np.arange(len(rows)) - begins
        shards_of_group = GROUP if self.shuffle else 1
        groups = np.repeat(np.arange(len(entries)) // shards_of_group, counts)
        if self.shuffle:
            chances = np.random.default_rng(entries[0, 0]).random(len(rows))
            rows = rows[np.lexsort([chances, groups])]
        return rows, groups

    def _read_group(self, rows, first):
        """Return this host's records of a group, whose first place in the pass is `first`."""
        for shard in np.unique(rows[:, 1] // PLACES):
            if shard % self.num_hosts == self.host_index:
                self.shards[shard].compare()
        ours = rows[self.is_ours(first + np.arange(len(rows)))]
        return self._read(ours), ours

    def _read(self, rows):
        """Return the serialized records of clips."""
        shards, places = np.divmod(rows[:, 1], PLACES)
        examples = np.empty(len(rows), object)
        for shard in np.unique(shards):
            of_shard = shards == shard
            examples[of_shard] = self.shards[shard].read(places[of_shard])
        return examples

    def _decode(self, example, seed):
        """Return the clip of a serialized record."""
        clip = _parse(example)
        audio, content = clip["audio"], self.index["content"]
        if content == "encoded":
            audio = numpy_function(self._read_encoded, [audio, clip["path"]], tf.float32)
            audio = tf.ensure_shape(audio, [None])
            clip["samples"] = tf.size(audio, tf.int64)
        elif content == "waveform":
            audio = tf.cast(tf.io.decode_raw(audio, tf.int16), tf.float32) * (1 / 32768)
        else:
            audio = tf.io.decode_raw(audio, tf.float16)
            audio = tf.reshape(audio, [-1, self.index["front_end"]["num_mels"]])
        return {**clip, "audio": audio, "seed": seed}

    def _read_encoded(self, audio, path):
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
