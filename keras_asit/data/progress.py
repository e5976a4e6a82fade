"""How far a training has read its data: where to start, and what was read."""

import dataclasses
from collections.abc import Callable, Sequence

from keras_asit._arguments import check_integers


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
        self,
        epoch: int,
        files: Callable[[int, int], list[str]] | None,
        unreadable: Sequence[int] = (),
    ):
        """Note a pass: a function of its first and last batch, if known, and a list it adds to."""
        # Of millions of files, orders of all passes would fill the memory.
        before = {epoch - 1: self._passes[epoch - 1]} if epoch - 1 in self._passes else {}
        self._passes = {**before, epoch: (files, unreadable)}

    def unreadable(self, epoch: int) -> tuple[int, ...]:
        """Return what could not be read in a pass up to now, for a `Start` in it.

        They are indices of files; where those, n, are drawn with weights, n * k more in draw k.
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
