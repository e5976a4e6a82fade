"""What features, classifiers and reconstructions are worth, measured and shown in training."""

import os

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_asit._arguments import check_instance, check_integers
from keras_asit._extras import check_extra
from keras_asit.data import LabeledClips
from keras_asit.evaluation import neighbor_accuracy, plot_reconstruction, predict_recordings
from keras_asit.layers import TokenPooling
from keras_asit.metrics import MeanAveragePrecision
from keras_asit.models import ASiTAudioConverter, ASiTPretrainer


class NeighborAccuracy(keras.callbacks.Callback):
    """Add the accuracy of the teacher's nearest neighbors to the logs, `neighbor_accuracy`.

    The teacher embeds labeled spectrograms after every so many epochs, without training on them.
    Callbacks after this one see the log, NaN in epochs without a measurement. Needs scikit-learn
    (extra `probe`).

    Args:
        spectrograms: array of shape `(clips, frames, mels)`, of the backbone's shape.
        labels: array of shape `(clips,)`.
        test_spectrograms: array of shape `(test clips, frames, mels)`. Defaults to `None`:
            leave-one-out among `spectrograms`.
        test_labels: array of shape `(test clips,)`. Defaults to `None`.
        num_neighbors: int. Neighbors that vote. Defaults to `1`.
        pooling: str, as in `keras_asit.layers.TokenPooling`. Defaults to `"cls_and_mean"`.
        every_epochs: int. Defaults to `1`.
        batch_size: int. Spectrograms at once. Defaults to `32`.

    Raises:
        ValueError: if an argument is invalid, or in `fit` if the model is no `ASiTPretrainer`.
        ImportError: without scikit-learn.

    Example:

    ```python
    neighbors = keras_asit.callbacks.NeighborAccuracy(converter(waveforms), labels)
    pretrainer.fit(dataset, callbacks=[neighbors, keras.callbacks.CSVLogger("epochs.csv")])
    ```

    Reference: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", arXiv
    2104.14294, section 4.1.
    """

    def __init__(
        self,
        spectrograms: ArrayLike,
        labels: ArrayLike,
        *,
        test_spectrograms: ArrayLike | None = None,
        test_labels: ArrayLike | None = None,
        num_neighbors: int = 1,
        pooling: str = "cls_and_mean",
        every_epochs: int = 1,
        batch_size: int = 32,
    ):
        super().__init__()
        check_integers(
            1, num_neighbors=num_neighbors, every_epochs=every_epochs, batch_size=batch_size
        )
        check_extra("probe", "sklearn")
        self.clips = _check("spectrograms", spectrograms, labels)
        self.test_clips = None
        if test_spectrograms is not None:
            self.test_clips = _check("test_spectrograms", test_spectrograms, test_labels)
        self.num_neighbors = num_neighbors
        self.pooling = TokenPooling(pooling)
        self.every_epochs = every_epochs
        self.batch_size = batch_size

    def on_train_begin(self, logs=None):
        check_instance("model", self.model, ASiTPretrainer)
        backbone = self.model.teacher.backbone
        self._embedding = keras.Model(backbone.input, self.pooling(backbone.output))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            # A CSV file has the columns of its first epoch.
            logs["neighbor_accuracy"] = float("nan")
            if (epoch + 1) % self.every_epochs == 0:
                logs["neighbor_accuracy"] = self._measure()

    def _measure(self):
        _separate_averages(self.model)
        tests = {}
        if self.test_clips is not None:
            tests["test_features"], tests["test_labels"] = self._embed(self.test_clips)
        return neighbor_accuracy(
            *self._embed(self.clips), **tests, num_neighbors=self.num_neighbors
        )

    def _embed(self, clips):
        spectrograms, labels = clips
        return self._embedding.predict(spectrograms, self.batch_size, verbose=0), labels


def _check(name, spectrograms, labels):
    spectrograms = keras.ops.convert_to_numpy(spectrograms)
    labels = np.asarray(labels)
    if spectrograms.ndim != 3 or labels.shape != spectrograms.shape[:1]:
        raise ValueError(
            f"`{name}` must have shape (clips, frames, mels), and their labels (clips,). "
            f"Received: {spectrograms.shape} and {labels.shape}"
        )
    return spectrograms, labels


class ValidateRecordings(keras.callbacks.Callback):
    """Add what a classifier is worth on whole recordings to the logs of each epoch.

    Recordings are cut into windows whose probabilities are averaged. The log is
    `val_accuracy`, or of a classifier with `multi_label` `val_mean_average_precision`; NaN if a
    probability is not finite. Callbacks after this one see it.

    Args:
        clips: a `keras_asit.data.LabeledClips`.
        overlap: float in [0, 0.9]. Of windows. Defaults to `0.0`.
        batch_size: int. Windows at once. Defaults to `32`.

    Example:

    ```python
    validation = keras_asit.data.read_labeled_clips("validation")
    classifier.fit(dataset, callbacks=[keras_asit.callbacks.ValidateRecordings(validation)])
    ```
    """

    def __init__(self, clips: LabeledClips, *, overlap: float = 0.0, batch_size: int = 32):
        super().__init__()
        check_instance("clips", clips, LabeledClips)
        self.clips = clips
        self.overlap = overlap
        self.batch_size = batch_size

    def on_epoch_end(self, epoch, logs=None):
        _separate_averages(self.model)
        probabilities, indices = predict_recordings(
            self.model, self.clips.paths, overlap=self.overlap, batch_size=self.batch_size
        )
        labels = self.clips.label_matrix()[indices]
        if self.model.multi_label:
            metric = MeanAveragePrecision(labels.shape[1], len(labels))
            metric.update_state(labels, probabilities)
            name, value = "val_mean_average_precision", float(metric.result())
        else:
            right = probabilities.argmax(axis=1) == labels.argmax(axis=1)
            name, value = "val_accuracy", float(np.mean(right))
        if logs is not None:
            # Where nothing can be compared, the first class would be chosen, and often be right.
            logs[name] = value if np.isfinite(probabilities).all() else float("nan")


class ReconstructionPictures(keras.callbacks.Callback):
    """Write pictures of clean, corrupted and reconstructed spectrograms and masks.

    They appear in TensorBoard's images. Needs the extra `tensorboard`.

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
        check_extra("tensorboard", "tensorboard", "matplotlib")
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


def _separate_averages(model):
    """Give averages of weights arrays of their own.

    At the end of a training `keras.callbacks.SwapEMAWeights` makes them the very arrays of the
    weights, which under JAX a prediction then gives away.
    """
    weights = {id(variable.value) for variable in model.variables}
    for variable in model.optimizer.variables:
        if id(variable.value) in weights:
            variable.assign(keras.ops.copy(variable.value))
