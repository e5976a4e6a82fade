"""Passes over audio files: their order, their random seeds, and what could not be read."""

import os
import random
import warnings
from collections import defaultdict
from itertools import count

import numpy as np

from keras_asit._arguments import check_choice, check_integer_from_zero
from keras_asit.data.decoding import read_waveform
from keras_asit.data.graph_decoding import GraphDecoder


class DataPosition:
    """A place in the passes over audio files, and a record of what is read from there on.

    A dataset that is made with a position starts there, without decoding what lies before. As
    it goes on it notes in the position each pass's order and the files that could not be read:
    batches are made of the others, so that both together tell which files a batch holds.

    Args:
        epoch: int. The pass to start in; the first is 0. Defaults to `0`.
        batch: int. How many batches of that pass to leave out. Defaults to `0`.
        unreadable: list of ints, the files (by their place in the list of files) that could
            not be read when those batches were made. Defaults to none.

    Example:

    ```python
    position = keras_asit.data.DataPosition(epoch=3, batch=120)
    dataset = keras_asit.data.pretraining_dataset(
        "recordings", batch_size=64, seed=1, position=position
    )
    ```
    """

    def __init__(self, epoch=0, batch=0, unreadable=()):
        check_integer_from_zero("epoch", epoch)
        check_integer_from_zero("batch", batch)
        self.epoch = epoch
        self.batch = batch
        self.batch_size = 1
        self.paths = []
        # Of records: a function of a pass, its first clip and where to stop, that reads paths.
        self.read_paths = None
        self._orders = {}
        # Lists, to which a thread can add while another copies them.
        self._unreadable = defaultdict(list, {epoch: list(unreadable)})

    def begin_pass(self, epoch, order):
        """Note the order of a pass, indices of files; return what of it is to be read."""
        self._orders = {epoch - 1: self._orders.get(epoch - 1), epoch: order}
        if epoch != self.epoch or self.batch == 0:
            return order
        return self._readable(epoch)[self.batch * self.batch_size :]

    def note_unreadable(self, epoch, index):
        """Note that a file could not be read in a pass."""
        self._unreadable[epoch].append(int(index))

    def unreadable(self, epoch):
        """Return the indices of the files that could not be read in a pass up to now."""
        return sorted(self._unreadable[epoch].copy())

    def files(self, epoch, first_batch, last_batch):
        """Return the files of batches of this pass or the one before, `last_batch` included.

        Those of records are read from them; of audio files, none are known of earlier passes.
        """
        first, stop = first_batch * self.batch_size, (last_batch + 1) * self.batch_size
        if self.read_paths is not None:
            return self.read_paths(epoch, first, stop)
        if self._orders.get(epoch) is None:
            return []
        return [str(self.paths[index]) for index in self._readable(epoch)[first:stop]]

    def _readable(self, epoch):
        order = self._orders[epoch]
        return order[~np.isin(order, self.unreadable(epoch))]


DECODERS = ("soundfile", "tensorflow_io")
END = -1
MAX_NAMED = 10


def clip_passes(
    paths,
    sample_rate,
    shuffle,
    seed,
    num_parallel_calls,
    at_least=1,
    weights=None,
    max_seconds=None,
    position=None,
    decoder="soundfile",
):
    """Return a dataset whose every iteration is another pass over audio files.

    The first pass over a dataset of some seed is the same on every run, and so is the second,
    which differs from the first.

    Args:
        paths: list of strs. Audio files.
        sample_rate: int. Sample rate of the waveforms in Hz.
        shuffle: bool. Whether each pass has an order of its own.
        seed: int. `None` is a random one.
        num_parallel_calls: int. Number of files decoded at once; `None` lets `tf.data` choose.
        at_least: int. A pass with fewer readable files than this is an error.
        weights: array of probabilities of the files. Where given, a pass draws with replacement.
        max_seconds: float. Of longer files, a stretch of this length at a random place is read.
        position: a `DataPosition` to start at, which notes what is read. `None` is the start,
            the only one with weights.
        decoder: str. `"soundfile"`, or `"tensorflow_io"` for the operators of tensorflow-io.

    Returns:
        A `tf.data.Dataset` of `(waveform, path, seed)`. Seeds are int64, of shape `(2,)`; each
        file has another one in each pass, and each time that it is drawn with weights. The second
        number, modulo the number of files, is the index of the file.

    Raises:
        ValueError: If there is no such decoder.
        ImportError: If the operators of tensorflow-io are asked for and do not load.
    """
    import tensorflow as tf

    check_choice("decoder", decoder, DECODERS)
    graph_decoder = None
    if decoder == "tensorflow_io":
        graph_decoder = GraphDecoder(sample_rate, max_seconds)
    position = DataPosition() if position is None else position
    clips = _Clips(
        paths,
        sample_rate,
        shuffle,
        seed,
        at_least,
        weights,
        max_seconds,
        position,
        graph_decoder,
    )

    def begin(_):
        entries = tf.numpy_function(clips.begin_pass, [], tf.int64)
        return tf.ensure_shape(entries, [None, 2])

    def decode(entry):
        waveform, path = tf.numpy_function(clips.decode, [entry], [tf.float32, tf.string])
        return tf.ensure_shape(waveform, [None]), tf.ensure_shape(path, []), entry

    def decode_in_graph(entry):
        path, numbers, header = tf.numpy_function(
            clips.locate, [entry], [tf.string, tf.int64, tf.string]
        )
        path, header = tf.ensure_shape(path, []), tf.ensure_shape(header, [])
        waveform = tf.cond(
            tf.size(numbers) > 0,
            lambda: graph_decoder(path, numbers, header),
            lambda: tf.zeros([0]),
        )
        return waveform, path, entry

    def is_clip(waveform, _, entry):
        # Elements come here in order: at the end of a pass, all its files have been decoded.
        return tf.cond(
            entry[1] == END,
            lambda: tf.ensure_shape(tf.numpy_function(clips.end_pass, [entry], tf.bool), []),
            lambda: tf.size(waveform) > 0,
        )

    entries = tf.data.Dataset.range(1).map(begin).unbatch()
    decoded = entries.map(
        decode if graph_decoder is None else decode_in_graph,
        num_parallel_calls=num_parallel_calls or tf.data.AUTOTUNE,
        deterministic=True,
    )
    return decoded.filter(is_clip)


class _Clips:
    """What happens in Python during passes; tensors come and go as numpy arrays.

    An entry of a pass is the pass's random number and the index of a file, or `END`. The
    number tells passes apart, because several may be under way at once, and one that is broken
    off never ends; and with the index it is the seed of the clip. Where files are drawn with
    replacement, the number of files is added to the index as often as clips came before in the
    pass, because a file that comes again needs another seed.
    """

    def __init__(
        self,
        paths,
        sample_rate,
        shuffle,
        seed,
        at_least,
        weights,
        max_seconds,
        position,
        graph_decoder,
    ):
        self.paths = paths
        self.sample_rate = sample_rate
        self.shuffle = shuffle
        # From Python's generator, so that `keras.utils.set_random_seed` governs this too.
        self.seed = random.randrange(2**32) if seed is None else int(seed)
        self.at_least = at_least
        self.weights = weights
        self.max_seconds = max_seconds
        self.position = position
        self.graph_decoder = graph_decoder
        position.paths = paths
        self.passes = count(position.epoch)
        self.epochs = {}
        self.failures = defaultdict(list)
        self.warned = set()

    def begin_pass(self):
        """Return the entries of a new pass."""
        epoch = next(self.passes)
        generator = np.random.default_rng([self.seed, epoch])
        number = generator.integers(2**63)
        self.epochs[int(number)] = epoch
        order = np.arange(len(self.paths))
        if self.weights is not None:
            order = generator.choice(order, len(order), p=self.weights)
        elif self.shuffle:
            generator.shuffle(order)
        order = self.position.begin_pass(epoch, order)
        if self.weights is not None:
            order = order + len(self.paths) * np.arange(len(order))
        order = np.append(order, END)
        return np.stack([np.full_like(order, number), order], axis=1)

    def decode(self, entry):
        """Return waveform and path of a file; an empty waveform if there is none."""

        def decode_file(path, place):
            waveform = read_waveform(path, self.sample_rate, self.max_seconds, place)
            return waveform, os.fsencode(path)

        return self._read(entry, decode_file, (np.zeros(0, "float32"), b""))

    def locate(self, entry):
        """Return path, numbers and header for the graph to decode; no numbers if there is none."""

        def locate_file(path, place):
            return os.fsencode(path), *self.graph_decoder.locate(path, place)

        return self._read(entry, locate_file, (b"", np.zeros(0, "int64"), b""))

    def _read(self, entry, read, nothing):
        """Return what a function of a path and a place reads; note a file that it cannot."""
        number, index = entry
        if index == END:
            return nothing
        file = index % len(self.paths)
        path = self.paths[file]
        try:
            return read(path, np.random.default_rng([number, index]).random())
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "error_string", error)
            self.failures[int(number)].append((path, str(reason)))
            self.position.note_unreadable(self.epochs[int(number)], file)
            return nothing

    def end_pass(self, entry):
        """Warn about the files that could not be read. Return False: an end is no clip."""
        failures = sorted(self.failures.pop(int(entry[0]), []))
        readable = len(self.paths) - len(failures)
        if readable < self.at_least:
            raise ValueError(
                f"Of {len(self.paths)} audio files, {readable} could be read; at least "
                f"{self.at_least} must be. Unreadable: {_describe(failures)}"
            )
        new = [failure for failure in failures if failure[0] not in self.warned]
        if new:
            self.warned.update(path for path, _ in new)
            warnings.warn(
                f"Skipped {len(new)} of {len(self.paths)} audio files: {_describe(new)}",
                stacklevel=1,
            )
        return np.False_


def _describe(failures):
    named = "; ".join(f"{path} ({reason})" for path, reason in failures[:MAX_NAMED])
    # A name need not be UTF-8, but what cannot be printed would hide the message.
    named = named.encode("utf-8", "backslashreplace").decode()
    return f"{named}; ..." if len(failures) > MAX_NAMED else named
