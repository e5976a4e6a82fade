"""Passes over clips: the order and the seeds of each epoch, and its waveforms."""

import itertools
import os
import warnings

import numpy as np
import tensorflow as tf

from keras_asit._arguments import check_choice, check_instance, check_integers, draw_seed
from keras_asit._numpy_function import numpy_function
from keras_asit.data.decoding import UNREADABLE, name_unreadable, read_waveform, reason_of
from keras_asit.data.graph_decoding import GraphDecoder
from keras_asit.data.progress import ReadLog, Start

DECODERS = ("soundfile", "tensorflow_io")
# In the place of a file, at the end of a pass.
END = -1


class Passes:
    """Passes over audio files or over shards of records, each with an order and seeds of its own.

    The first pass with some seed is the same on every run, and so is the second, which differs from
    the first. A subclass has `clips()`, a dataset whose every iteration is another pass, of dicts:
    `"audio"`, a float32 waveform or float16 log-mels `(frames, mels)`; `"samples"`, the length of
    the waveform; `"path"`, a string; `"labels"`, indices of classes; and `"seed"`, int64 of shape
    `(2,)`, another one for each clip in each pass. And it has `files(entries, unreadable, first,
    stop)`, the paths of the clips of a pass from one on, up to another.

    Args:
        counts: list of ints. How many clips each file or shard has.
        shuffle: bool. Whether each pass has an order of its own. Defaults to `False`.
        seed: int, or `None` for a random one. Defaults to `0`.
        batch_size: int. Clips of a batch of all hosts, in which `start` and `log` count. Defaults
            to `1`.
        num_workers: int. Clips decoded at once. Defaults to `None`: `tf.data` chooses.
        num_hosts: int. Hosts that read a share of each batch each, one after another; what does
            not fill a last batch is left out. Defaults to `1`.
        host_index: int. Which of them this is. Defaults to `0`.
        start: `Start`. Defaults to `None`, the first batch of the first pass.
        log: `ReadLog` to note passes in. Defaults to `None`.

    Attributes:
        num_clips: int. How many clips a pass has, of all hosts.
    """

    def __init__(
        self,
        counts,
        *,
        shuffle=False,
        seed=0,
        batch_size=1,
        num_workers=None,
        num_hosts=1,
        host_index=0,
        start=None,
        log=None,
    ):
        check_integers(1, batch_size=batch_size, num_hosts=num_hosts)
        check_integers(1, or_none=True, num_workers=num_workers)
        check_integers(0, host_index=host_index)
        if host_index >= num_hosts:
            raise ValueError(
                f"`host_index` must be an integer from 0 to {num_hosts - 1}, less than "
                f"`num_hosts`. Received: host_index={host_index!r}"
            )
        if batch_size % num_hosts:
            raise ValueError(
                "`batch_size` is that of all hosts, and must be a multiple of `num_hosts`. "
                f"Received: batch_size={batch_size}, num_hosts={num_hosts}"
            )
        for name, value, accepted in (("start", start, Start), ("log", log, ReadLog)):
            if value is not None:
                check_instance(name, value, accepted)
        counts = np.asarray(counts, "int64")
        if not counts.any():
            raise ValueError("There is no clip to read; name at least one audio file.")
        self.parts = np.flatnonzero(counts)
        self.num_clips = int(counts.sum())
        self.shuffle = shuffle
        self.seed = draw_seed(seed)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.num_hosts = num_hosts
        self.host_index = host_index
        self.start = start or Start()
        self.log = log or ReadLog()
        self.epochs = itertools.count(self.start.epoch)

    def begin(self):
        """Return of a new pass the entries, what is unreadable, and how many clips to leave out.

        Entries are an int64 array with a row a file or shard: the pass's random number, which
        tells apart passes that are under way at once, and the file or shard.
        """
        epoch = next(self.epochs)
        started = epoch == self.start.epoch
        unreadable = list(self.start.unreadable) if started else []
        generator = np.random.default_rng([self.seed, epoch])
        number = generator.integers(2**63)
        parts = self.draw(generator)
        entries = np.stack([np.full_like(parts, number), parts], axis=1)

        def files(first_batch, last_batch):
            first, stop = first_batch * self.batch_size, (last_batch + 1) * self.batch_size
            return self.files(entries, unreadable, first, stop)

        self.log.begin(epoch, files, unreadable)
        return entries, unreadable, self.start.batch * self.batch_size if started else 0

    def is_ours(self, place):
        """Return whether the clips at places of a pass, an array or tensor, are this host's."""
        share = self.batch_size // self.num_hosts
        whole = self.num_clips - self.num_clips % self.batch_size if self.num_hosts > 1 else np.inf
        return (place % self.batch_size // share == self.host_index) & (place < whole)

    def draw(self, generator):
        """Return the files or shards of a pass in their order."""
        return generator.permutation(self.parts) if self.shuffle else self.parts


class FilePasses(Passes):
    """Passes over audio files.

    Of one that cannot be read no clip comes; a warning at the end of the pass names it. The second
    number of a clip's seed, modulo the number of files, is the index of its file. Where
    files are drawn with replacement, the number of files is added to it as often as clips came
    before in the pass, because a file that comes again needs another seed.

    Args:
        paths: list of strs.
        sample_rate: int. Sample rate of the waveforms in Hz.
        labels: sequence of tuples of ints. Defaults to `None`: clips have none.
        at_least: int. A pass with fewer readable clips than this is an error. Defaults to `1`.
        weights: array of probabilities of the files. Where given, a pass draws with replacement.
        max_seconds: float. Of longer files, a stretch of this length is read.
        offsets: list of floats. Where it lies in each file, as in `decode_audio`. Defaults to
            `None`: at random places, others in each pass.
        decoder: str. `"soundfile"`, or `"tensorflow_io"` for the operators of tensorflow-io.
        **passes: Arguments of `Passes`.
    """

    of = "audio files"

    def __init__(
        self,
        paths,
        sample_rate,
        *,
        labels=None,
        at_least=1,
        weights=None,
        max_seconds=None,
        offsets=None,
        decoder="soundfile",
        **passes,
    ):
        check_choice("decoder", decoder, DECODERS)
        super().__init__([1] * len(paths), **passes)
        self.paths = paths
        self.sample_rate = sample_rate
        self.labels = labels
        self.at_least = at_least
        self.weights = weights
        self.max_seconds = max_seconds
        self.offsets = offsets
        in_graph = decoder == "tensorflow_io"
        self.graph_decoder = GraphDecoder(sample_rate, max_seconds) if in_graph else None
        # What cannot be read of each pass under way, and the reasons, by the pass's number.
        self.under_way = {}
        self.warned = set()

    def clips(self):
        def begin(_):
            return tf.ensure_shape(numpy_function(self._begin, [], tf.int64), [None, 2])

        def is_clip(clip):
            # Clips come here in order: at the end of a pass, all its files have been decoded.
            return tf.cond(
                clip["seed"][1] == END,
                lambda: tf.ensure_shape(numpy_function(self._end, [clip["seed"]], tf.bool), []),
                lambda: clip["samples"] > 0,
            )

        entries = tf.data.Dataset.range(1).map(begin).unbatch()
        workers = self.num_workers or tf.data.AUTOTUNE
        return entries.map(self._decode, workers, deterministic=True).filter(is_clip)

    def draw(self, generator):
        if self.weights is None:
            return super().draw(generator)
        drawn = generator.choice(self.parts, self.num_clips, p=self.weights)
        return drawn + self.num_clips * self.parts

    def files(self, entries, unreadable, first, stop):
        return [self._path(clip) for _, clip in _without(entries, unreadable)[first:stop]]

    def _path(self, clip):
        return str(self.paths[clip % len(self.paths)])

    def _begin(self):
        entries, unreadable, left_out = self.begin()
        number = entries[0, 0]
        self.under_way[int(number)] = unreadable, {}
        readable = _without(entries, unreadable)[left_out:]
        ours = readable[self.is_ours(left_out + np.arange(len(readable)))]
        return np.append(ours, [[number, END]], axis=0)

    def _decode(self, entry):
        """Return the clip of an entry, without samples if there is none that can be read."""
        in_graph = self.graph_decoder is not None
        types = [tf.int64, tf.string] if in_graph else [tf.float32]
        types = [tf.string, tf.int64, *types]
        path, labels, audio, *header = numpy_function(self._read, [entry], types)
        path = tf.ensure_shape(path, [])
        if in_graph:
            numbers, header = audio, tf.ensure_shape(*header, [])
            audio = tf.cond(
                tf.size(numbers) > 0,
                lambda: self.graph_decoder(path, numbers, header),
                lambda: tf.zeros([0]),
            )
        return {
            "audio": tf.ensure_shape(audio, [None]),
            "samples": tf.size(audio, tf.int64),
            "path": path,
            "labels": tf.ensure_shape(labels, [None]),
            "seed": entry,
        }

    def _read(self, entry):
        """Return path, labels, and the waveform or what the graph decodes; note a failure."""
        number, clip = entry
        path = self._path(clip)
        labels = () if self.labels is None else self.labels[clip % len(self.paths)]
        in_graph = self.graph_decoder is not None
        content = (np.zeros(0, "int64"), b"") if in_graph else (np.zeros(0, "float32"),)
        try:
            if clip != END:
                content = self._read_stretch(path, number, clip)
        except UNREADABLE as error:
            if self.num_hosts > 1:
                raise ValueError(
                    f"{path} cannot be read: {reason_of(error)}. Hosts that train together need "
                    "sources without such files, or their batches would differ; check_audio.py "
                    "lists them."
                ) from None
            unreadable, reasons = self.under_way[int(number)]
            reasons[path] = reason_of(error)
            unreadable.append(int(clip))
        return os.fsencode(path), np.asarray(labels, "int64"), *content

    def _read_stretch(self, path, number, clip):
        """Return a file's waveform, or what the graph decodes, where it lies in this pass."""
        if self.offsets is not None:
            # Its labels are of this stretch: another one must not stand in.
            stretch = self.max_seconds, self.offsets[clip % len(self.paths)]
            return (read_waveform(path, self.sample_rate, *stretch, stand_in=False),)
        offset = np.random.default_rng([number, clip]).random()
        if self.graph_decoder is not None:
            return self.graph_decoder.locate(path, offset)
        return (read_waveform(path, self.sample_rate, self.max_seconds, offset),)

    def _end(self, entry):
        """Warn about the files that could not be read. Return False: an end is no clip."""
        unreadable, reasons = self.under_way.pop(int(entry[0]))
        readable = self.num_clips - len(unreadable)
        if readable < self.at_least:
            raise ValueError(
                f"Of {self.num_clips} audio files, {readable} could be read; at least "
                f"{self.at_least} must be. Unreadable: {name_unreadable(reasons.items())}"
            )
        new = {path: why for path, why in reasons.items() if path not in self.warned}
        if new:
            self.warned.update(new)
            # A file may be several clips, as windows of events are.
            total = len(set(self.paths))
            skipped = f"{len(new)} of {total} audio files: {name_unreadable(new.items())}"
            warnings.warn(f"Skipped {skipped}", stacklevel=1)
        return np.False_


def _without(entries, unreadable):
    return entries[~np.isin(entries[:, 1], unreadable)]
