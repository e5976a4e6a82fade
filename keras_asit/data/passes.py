"""Passes over clips: where they start, what tells them apart, and what was read in them."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from keras_asit._arguments import check_instance, check_integers, draw_seed


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

        `files` returns those of its batches, from the first given to the last; to the list
        `unreadable` the pass adds what it cannot read.
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
        batch_size: int. Clips of a batch, in which `start` and `log` count. Defaults to `1`.
        num_workers: int. Clips decoded at once. Defaults to `None`: `tf.data` chooses.
        num_hosts: int. Hosts that read every n-th part each, all as many clips. Defaults to `1`.
        host_index: int. Which of them this is. Defaults to `0`.
        start: `Start`. Defaults to `None`, the first batch of the first pass.
        log: `ReadLog` to note passes in. Defaults to `None`.

    Attributes:
        num_clips: int. How many clips a pass has.
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
        for name, value, accepted in (("start", start, Start), ("log", log, ReadLog)):
            if value is not None:
                check_instance(name, value, accepted)
        counts = np.asarray(counts, "int64")
        if not counts.any():
            raise ValueError("There is no clip to read; name at least one audio file.")
        shares = [np.flatnonzero(counts)[host::num_hosts] for host in range(num_hosts)]
        self.parts = shares[host_index]
        self.num_clips = min(int(counts[share].sum()) for share in shares)
        self.shuffle = shuffle
        self.seed = draw_seed(seed)
        self.batch_size = batch_size
        self.num_workers = num_workers
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

    def draw(self, generator):
        """Return the files or shards of a pass in their order."""
        return generator.permutation(self.parts) if self.shuffle else self.parts
