"""Passes over audio files: where they start, their order and seeds, and what could not be read."""

import dataclasses
import itertools
import os
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from keras_asit._arguments import check_choice, check_integers, name_some
from keras_asit.data.decoding import read_waveform
from keras_asit.data.graph_decoding import GraphDecoder


@dataclasses.dataclass(frozen=True)
class Start:
    """Where in its passes a dataset starts, without decoding the audio files that lie before.

    Args:
        epoch: int. The pass to start in; the first is 0. Defaults to `0`.
        batch: int. How many batches of that pass to leave out. Defaults to `0`.
        unreadable: tuple of ints. What could not be read in that pass, as `ReadLog.unreadable`
            tells it: batches are made of the others. Defaults to nothing.

    Example:

    ```python
    start = keras_asit.data.Start(epoch=3, batch=120)
    dataset = keras_asit.data.pretraining_dataset("recordings", seed=1, start=start)
    ```
    """

    epoch: int = 0
    batch: int = 0
    unreadable: tuple[int, ...] = ()

    def __post_init__(self):
        check_integers(0, epoch=self.epoch, batch=self.batch)
        for clip in self.unreadable:
            check_integers(0, unreadable=clip)
        object.__setattr__(self, "unreadable", tuple(self.unreadable))


class ReadLog:
    """What was read in the last two passes: the files of each batch, and what was unreadable.

    Datasets that are given a log note their passes in it; a later dataset's take the place of
    those of the same number.

    Example:

    ```python
    log = keras_asit.data.ReadLog()
    for batch in keras_asit.data.pretraining_dataset("recordings", batch_size=2, log=log):
        break
    print(log.files(0, 0, 0), log.unreadable(0))
    ```
    """

    def __init__(self):
        self._passes = {}

    def begin(
        self, epoch: int, files: Callable[[int, int], list[str]], unreadable: Sequence[int] = ()
    ):
        """Note that a pass begins.

        Args:
            epoch: int.
            files: function of the first and the last batch that returns their files.
            unreadable: list of ints, to which the pass adds what it cannot read.
        """
        # Of millions of files, orders of all passes would fill the memory.
        before = {epoch - 1: self._passes[epoch - 1]} if epoch - 1 in self._passes else {}
        self._passes = {**before, epoch: (files, unreadable)}

    def unreadable(self, epoch: int) -> tuple[int, ...]:
        """Return what could not be read in a pass up to now, for a `Start` in it.

        That is the index of a file; where files are drawn with weights, of n files, the k-th draw
        of the pass has n * k more.
        """
        _, unreadable = self._passes.get(epoch, (None, ()))
        return tuple(sorted(unreadable))

    def files(self, epoch: int, first_batch: int, last_batch: int) -> list[str]:
        """Return the files of batches, `last_batch` included; none of a pass that is not known."""
        files, _ = self._passes.get(epoch, (None, ()))
        return [] if files is None else files(first_batch, last_batch)

    def clear(self):
        """Forget all passes."""
        self._passes = {}


DECODERS = ("soundfile", "tensorflow_io")
END = -1
MAX_NAMED = 10


def clip_passes(
    paths,
    *,
    sample_rate,
    shuffle=False,
    seed=0,
    num_workers=None,
    at_least=1,
    weights=None,
    max_seconds=None,
    decoder="soundfile",
    batch_size=1,
    num_hosts=1,
    host_index=0,
    start=None,
    log=None,
):
    """Return a dataset whose every iteration is another pass over audio files.

    The first pass over a dataset of some seed is the same on every run, and so is the second,
    which differs from the first.

    Args:
        paths: list of strs. Audio files.
        sample_rate: int. Sample rate of the waveforms in Hz.
        shuffle: bool. Whether each pass has an order of its own. Defaults to `False`.
        seed: int. Defaults to `0`.
        num_workers: int. Number of files decoded at once. Defaults to `None`: `tf.data` chooses.
        at_least: int. A pass with fewer readable clips than this is an error. Defaults to `1`.
        weights: array of probabilities of the files. Where given, a pass draws with replacement.
        max_seconds: float. Of longer files, a stretch of this length at a random place is read.
        decoder: str. `"soundfile"`, or `"tensorflow_io"` for the operators of tensorflow-io.
        batch_size: int. Clips of a batch, in which `start` and `log` count. Defaults to `1`.
        num_hosts: int. Hosts that read every n-th file each, all as many. Defaults to `1`.
        host_index: int. Which of them this is. Defaults to `0`.
        start: `Start`. Defaults to `None`, the first batch of the first pass.
        log: `ReadLog` to note passes in. Defaults to `None`.

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
    passes = _Passes(
        paths, shuffle, seed, at_least, weights, batch_size, (num_hosts, host_index), start, log
    )

    def begin(_):
        clips = tf.numpy_function(passes.begin, [], tf.int64)
        return tf.ensure_shape(clips, [None, 2])

    def read_file(path, offset):
        return read_waveform(path, sample_rate, max_seconds, offset), os.fsencode(path)

    def decode(clip):
        def read(clip):
            return passes.read(clip, read_file, (np.zeros(0, "float32"), b""))

        waveform, path = tf.numpy_function(read, [clip], [tf.float32, tf.string])
        return tf.ensure_shape(waveform, [None]), tf.ensure_shape(path, []), clip

    def locate_file(path, offset):
        return os.fsencode(path), *graph_decoder.locate(path, offset)

    def decode_in_graph(clip):
        def locate(clip):
            return passes.read(clip, locate_file, (b"", np.zeros(0, "int64"), b""))

        path, numbers, header = tf.numpy_function(locate, [clip], [tf.string, tf.int64, tf.string])
        path, header = tf.ensure_shape(path, []), tf.ensure_shape(header, [])
        waveform = tf.cond(
            tf.size(numbers) > 0,
            lambda: graph_decoder(path, numbers, header),
            lambda: tf.zeros([0]),
        )
        return waveform, path, clip

    def is_clip(waveform, _, clip):
        # Elements come here in order: at the end of a pass, all its files have been decoded.
        return tf.cond(
            clip[1] == END,
            lambda: tf.ensure_shape(tf.numpy_function(passes.end, [clip], tf.bool), []),
            lambda: tf.size(waveform) > 0,
        )

    decoded = (
        tf.data.Dataset.range(1)
        .map(begin)
        .unbatch()
        .map(
            decode if graph_decoder is None else decode_in_graph,
            num_parallel_calls=num_workers or tf.data.AUTOTUNE,
            deterministic=True,
        )
    )
    return decoded.filter(is_clip)


@dataclasses.dataclass
class _Pass:
    """A pass under way: how many clips it has, which of them are unreadable, and why."""

    num_clips: int
    unreadable: list
    reasons: dict = dataclasses.field(default_factory=dict)


class _Passes:
    """What happens in Python during passes; tensors come and go as numpy arrays.

    A clip of a pass is the pass's random number and the index of a file, or `END`. The number
    tells passes apart, because several may be under way at once, and one that is broken off never
    ends; and with the index it is the seed of the clip. Where files are drawn with replacement,
    the number of files is added to the index as often as clips came before in the pass, because a
    file that comes again needs another seed.
    """

    def __init__(self, paths, shuffle, seed, at_least, weights, batch_size, host, start, log):
        self.paths = paths
        self.shuffle = shuffle
        self.seed = seed
        self.at_least = at_least
        self.weights = weights
        self.batch_size = batch_size
        self.num_hosts, self.host_index = host
        self.start = start or Start()
        self.log = log or ReadLog()
        self.epochs = itertools.count(self.start.epoch)
        self.under_way = {}
        self.warned = set()

    def begin(self):
        """Return the clips of a new pass."""
        epoch = next(self.epochs)
        generator = np.random.default_rng([self.seed, epoch])
        number = generator.integers(2**63)
        clips = self._draw(generator)
        started = epoch == self.start.epoch
        unreadable = list(self.start.unreadable) if started else []

        def files(first_batch, last_batch):
            first, stop = first_batch * self.batch_size, (last_batch + 1) * self.batch_size
            return [str(self._path(clip)) for clip in _without(clips, unreadable)[first:stop]]

        self.log.begin(epoch, files, unreadable)
        self.under_way[int(number)] = _Pass(len(clips), unreadable)
        left_out = self.start.batch * self.batch_size if started else 0
        rest = np.append(_without(clips, unreadable)[left_out:], END)
        return np.stack([np.full_like(rest, number), rest], axis=1)

    def _draw(self, generator):
        clips = np.arange(len(self.paths))
        if self.weights is not None:
            drawn = generator.choice(clips, len(clips), p=self.weights)
            return drawn + len(clips) * clips
        share = clips[self.host_index :: self.num_hosts]
        if self.shuffle:
            generator.shuffle(share)
        return share[: len(clips) // self.num_hosts]

    def _path(self, clip):
        return self.paths[clip % len(self.paths)]

    def read(self, clip, read_file, nothing):
        """Return what a function of a path and an offset reads; note a clip that it cannot."""
        number, clip = clip
        if clip == END:
            return nothing
        path = self._path(clip)
        try:
            return read_file(path, np.random.default_rng([number, clip]).random())
        except (OSError, RuntimeError, ValueError) as error:
            this = self.under_way[int(number)]
            this.reasons[path] = str(getattr(error, "error_string", error))
            this.unreadable.append(int(clip))
            return nothing

    def end(self, clip):
        """Warn about the files that could not be read. Return False: an end is no clip."""
        this = self.under_way.pop(int(clip[0]))
        readable = this.num_clips - len(this.unreadable)
        if readable < self.at_least:
            raise ValueError(
                f"Of {this.num_clips} audio files, {readable} could be read; at least "
                f"{self.at_least} must be. Unreadable: {_describe(this.reasons)}"
            )
        new = {path: why for path, why in this.reasons.items() if path not in self.warned}
        if new:
            self.warned.update(new)
            warnings.warn(
                f"Skipped {len(new)} of {this.num_clips} audio files: {_describe(new)}",
                stacklevel=1,
            )
        return np.False_


def _without(clips, unreadable):
    return clips[~np.isin(clips, list(unreadable))]


def _describe(reasons):
    named = [f"{path} ({why})" for path, why in sorted(reasons.items())]
    return name_some(named, MAX_NAMED, separator="; ")
