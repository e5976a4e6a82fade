"""Where a training is in its data, so that another one can go on there."""

from collections import defaultdict

import numpy as np

from keras_asit.arguments import check_integer_from_zero


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
