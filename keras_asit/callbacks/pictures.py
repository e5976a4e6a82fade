"""Pictures of reconstructions during pre-training, for TensorBoard."""

import os

import keras
import numpy as np

from keras_asit._arguments import check_integers
from keras_asit.evaluation.pictures import plot_reconstruction
from keras_asit.models import ASiTAudioConverter


class ReconstructionPictures(keras.callbacks.Callback):
    """Write pictures of clean, corrupted and reconstructed spectrograms and masks.

    They appear in TensorBoard's images. Needs matplotlib (extra `tensorboard`).

    Args:
        batch: dict of a batch. The first view of its first clips is drawn, with new masks.
        log_dir: str or `os.PathLike`. TensorBoard's folder.
        converter: the `ASiTAudioConverter` of the views, for seconds and hertz on the axes.
            Defaults to `None`, one at 16 kHz.
        num_pictures: int. Defaults to `4`.
        every_epochs: int. Defaults to `1`.

    Example:

    ```python
    batch = next(iter(dataset))
    pictures = keras_asit.callbacks.ReconstructionPictures(batch, "logs")
    pretrainer.fit(dataset, callbacks=[pictures])
    ```
    """

    def __init__(
        self,
        batch: dict,
        log_dir: str | os.PathLike,
        *,
        converter: ASiTAudioConverter | None = None,
        num_pictures: int = 4,
        every_epochs: int = 1,
    ):
        super().__init__()
        check_integers(1, num_pictures=num_pictures, every_epochs=every_epochs)
        self.batch = {name: np.array(views)[:num_pictures] for name, views in batch.items()}
        self.log_dir = log_dir
        self.converter = converter
        self.num_pictures = num_pictures
        self.every_epochs = every_epochs
        self._writer = None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every_epochs:
            return
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))
        pictures = draw_reconstructions(self.model, self.batch, self.converter)
        with self._writer.as_default():
            tf.summary.image(
                "reconstruction", np.stack(pictures), epoch, max_outputs=self.num_pictures
            )
        self._writer.flush()

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def draw_reconstructions(pretrainer, batch, converter=None):
    """Return a picture of the first view of every clip of a batch, as (height, width, 3) bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    outputs = pretrainer.predict_on_batch(batch)
    names = ("clean", "corrupted", "reconstruction", "mask")
    pictures = []
    for panels in zip(*(outputs[name][:, 0] for name in names)):
        panels = dict(zip(names, panels))
        canvas = FigureCanvasAgg(plot_reconstruction(**panels, converter=converter))
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3])
    return pictures
