"""A small training on real files, which tests interrupt; run as a script, it kills itself."""

import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
import soundfile

from keras_asit.callbacks import Checkpoints
from keras_asit.data import pretraining_dataset


class LossOfEachBatch(keras.callbacks.Callback):
    """Notes the logs of each batch and epoch, by epoch and batch."""

    def __init__(self):
        super().__init__()
        self.batches = {}
        self.epochs = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.batches[self.epoch, batch] = dict(logs)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs[epoch] = dict(logs)


class Died(Exception):
    """Stands for the sudden end of a process."""


def die():
    raise Died


class StopAfter(keras.callbacks.Callback):
    """Calls a function after so many batches."""

    def __init__(self, batches, stop):
        super().__init__()
        self.batches = batches
        self.stop = stop

    def on_train_batch_end(self, batch, logs=None):
        self.batches -= 1
        if self.batches == 0:
            self.stop()

    def get_state(self):
        """Return nothing: a training that goes on is stopped anew."""
        return {}

    def set_state(self, state):
        """Do nothing."""


def write_recordings(folder):
    """Write eleven short files, one of which is no audio: five batches of two clips."""
    folder.mkdir()
    generator = np.random.default_rng(1)
    for index in range(10):
        soundfile.write(folder / f"{index}.wav", generator.uniform(-0.5, 0.5, 4000), 16000)
    (folder / "3_broken.wav").write_bytes(b"no audio")


def batches_of(folder, log=None):
    """Return a function of a start that returns batches of waveforms and targets."""

    def batches(start):
        views = pretraining_dataset(
            folder,
            batch_size=2,
            crop_seconds=0.2,
            spectrograms=False,
            seed=1,
            start=start,
            log=log,
        )
        return views.map(lambda batch: (batch["clean"][:, 0], batch["clean"][:, 1, :4]))

    return batches


def build_model():
    """Return a small compiled model with something random in it."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input((3200,)), *layers])
    # Compiling takes longer than these tests take to run.
    eagerly = keras.config.backend() == "tensorflow"
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], run_eagerly=eagerly)
    model.optimizer.build(model.trainable_variables)
    return model


def train(recordings, folder, *callbacks, save_freq=2, epochs=3, **kwargs):
    """Train for three epochs of five batches; return the logs of every batch and epoch."""
    losses = LossOfEachBatch()
    checkpoints = Checkpoints(folder, save_freq=save_freq, **kwargs)
    batches = batches_of(recordings, checkpoints.log)
    callbacks = [losses, *callbacks]
    checkpoints.fit(build_model(), batches, epochs, callbacks=callbacks, verbose=0)
    return losses


def kill_while_a_checkpoint_is_written():
    """Let the process die when it next tells the disk to write."""
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    train(*map(Path, sys.argv[1:]), StopAfter(7, kill_while_a_checkpoint_is_written))
