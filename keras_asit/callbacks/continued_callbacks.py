"""Callbacks of one training that takes several calls of `fit`."""

import keras


class ContinuedCallbacks(keras.callbacks.CallbackList):
    """A `keras.callbacks.CallbackList` that begins and ends once, whatever `fit` says.

    Batches keep their number in the whole epoch where `fit` sees only the rest of it.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.batches_before = 0

    def begin(self):
        """Begin the training."""
        super().on_train_begin()

    def end(self, logs=None):
        """End the training."""
        super().on_train_end(logs)

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        pass

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(self.batches_before + batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(self.batches_before + batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.batches_before = 0
