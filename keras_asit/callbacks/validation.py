"""What features, classifiers and reconstructions are worth, measured and shown in training."""

import os

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_asit._arguments import as_array, check_choice, check_instance, check_integers
from keras_asit._extras import check_extra
from keras_asit.data import LabeledClips, LabeledEvents, labeled_dataset
from keras_asit.evaluation import neighbor_accuracy, plot_reconstruction, predict_recordings
from keras_asit.layers.pooling import DEFAULT_POOLING, POOLINGS
from keras_asit.metrics import MeanAveragePrecision
from keras_asit.models import ASiTAudioConverter, ASiTPretrainer
from keras_asit.replicas import predict_batch

NUM_PICTURES = 4


class NeighborAccuracy(keras.callbacks.Callback):
    """Add the accuracy of the teacher's nearest neighbors to the logs, `neighbor_accuracy`.

    The teacher embeds labeled spectrograms after each epoch, without training on them, and each is
    classified by the others. Callbacks after this one see the log. Needs scikit-learn (extra
    `probe`).

    Args:
        spectrograms: array of shape `(clips, frames, mels)`, of the backbone's shape.
        labels: array of shape `(clips,)`.
        pooling: str, as in `keras_asit.layers.TokenPooling`. Defaults to
            `"mel_rows_and_deviation"`.
        batch_size: int. Spectrograms at once. Defaults to `32`.

    Raises:
        ValueError: if an argument is invalid, or in `fit` if the model is no `ASiTPretrainer`.
        ImportError: without scikit-learn.

    Example:
    ```python
    neighbors = keras_asit.callbacks.NeighborAccuracy(converter(waveforms), labels)
    pretrainer.fit(dataset, callbacks=[neighbors, keras.callbacks.CSVLogger("epochs.csv")])
    ```

    Reference: Caron et al., "DINO", arXiv 2104.14294, section 4.1.
    """

    def __init__(
        self,
        spectrograms: ArrayLike,
        labels: ArrayLike,
        *,
        pooling: str = DEFAULT_POOLING,
        batch_size: int = 32,
    ):
        super().__init__()
        check_integers(1, batch_size=batch_size)
        check_choice("pooling", pooling, POOLINGS)
        check_extra("probe", "sklearn")
        self.spectrograms, self.labels = as_array(spectrograms), np.asarray(labels)
        shapes = self.spectrograms.shape, self.labels.shape
        if len(shapes[0]) != 3 or shapes[1] != shapes[0][:1]:
            raise ValueError(
                "`spectrograms` must have shape (clips, frames, mels), and `labels` (clips,). "
                f"Received: {shapes[0]} and {shapes[1]}"
            )
        self.pooling = pooling
        self.batch_size = batch_size

    def on_train_begin(self, logs=None):
        check_instance("model", self.model, ASiTPretrainer)
        self._embedding = self.model.teacher.backbone.feature_model(self.pooling)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            _separate_averages(self.model)
            starts = range(0, len(self.spectrograms), self.batch_size)
            batches = [self.spectrograms[start:][: self.batch_size] for start in starts]
            features = [predict_batch(self._embedding, batch) for batch in batches]
            logs["neighbor_accuracy"] = neighbor_accuracy(np.concatenate(features), self.labels)


class ValidateRecordings(keras.callbacks.Callback):
    """Add what a classifier or an event detector is worth on recordings to the logs of each epoch.

    For a classifier, recordings are cut into windows whose probabilities are averaged. The log is
    `val_accuracy`, or of a classifier with `multi_label` `val_mean_average_precision`. For a
    detector it is `val_mean_average_precision`, of the most probable step of each second or so.
    NaN if a probability is not finite. Callbacks after this one see it.

    Args:
        clips: a `keras_asit.data.LabeledClips`, or of a detector `keras_asit.data.LabeledEvents`.
        batch_size: int. Windows at once. Defaults to `32`.

    Example:
    ```python
    validation = keras_asit.data.read_labeled_clips("validation")
    classifier.fit(dataset, callbacks=[keras_asit.callbacks.ValidateRecordings(validation)])
    ```
    """

    def __init__(self, clips: LabeledClips | LabeledEvents, *, batch_size: int = 32):
        super().__init__()
        if not isinstance(clips, LabeledEvents):
            check_instance("clips", clips, LabeledClips)
        self.clips = clips
        self.batch_size = batch_size

    def on_train_begin(self, logs=None):
        if not isinstance(self.clips, LabeledEvents):
            # Once, or each epoch would compile it anew.
            self._network = self.model.probability_model()

    def on_epoch_end(self, epoch, logs=None):
        _separate_averages(self.model)
        multi_label = isinstance(self.clips, LabeledEvents) or self.model.multi_label
        if isinstance(self.clips, LabeledEvents):
            probabilities, labels = _seconds_of(self.model, self.clips, self.batch_size)
        else:
            probabilities, indices = predict_recordings(
                self._network,
                self.clips.paths,
                converter=getattr(self.model.preprocessor, "audio_converter", None),
                batch_size=self.batch_size,
            )
            labels = self.clips.label_matrix()[indices]
        if multi_label:
            metric = MeanAveragePrecision(labels.shape[1], len(labels))
            metric.update_state(labels, probabilities)
            name, value = "val_mean_average_precision", float(metric.result())
        else:
            right = probabilities.argmax(axis=1) == labels.argmax(axis=1)
            name, value = "val_accuracy", float(np.mean(right))
        if logs is not None:
            # Where nothing can be compared, the first class would be chosen, and often be right.
            logs[name] = value if np.isfinite(probabilities).all() else float("nan")


def _seconds_of(detector, recordings, batch_size):
    """Return scores and labels of each second or so of recordings, `(seconds, classes)`."""
    seconds, converter = detector.window_seconds, detector.preprocessor.audio_converter
    windows = labeled_dataset(
        recordings,
        sample_rate=converter.sample_rate,
        batch_size=batch_size,
        crop_seconds=seconds,
        num_steps=detector.num_steps,
    )
    starts = np.linspace(0, detector.num_steps, max(1, round(seconds)), endpoint=False).astype(int)
    parts = [], []
    for waveforms, labels in windows:
        scores = predict_batch(detector, waveforms.to_tensor().numpy())["strong"]
        for part, steps in zip(parts, (scores, labels)):
            most = np.maximum.reduceat(keras.ops.convert_to_numpy(steps), starts, axis=1)
            part.append(most.reshape(-1, most.shape[-1]))
    return tuple(map(np.concatenate, parts))


class ReconstructionPictures(keras.callbacks.Callback):
    """Write pictures of clean, corrupted and reconstructed spectrograms and masks in each epoch.

    They appear in TensorBoard's images. Needs the extra `tensorboard`.

    Args:
        batch: dict of a batch. The first view of its first 4 clips is drawn, with new masks.
        log_dir: str or `os.PathLike`. TensorBoard's folder.
        converter: as in `keras_asit.evaluation.plot_reconstruction`.

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
    ):
        super().__init__()
        check_extra("tensorboard", "tensorboard", "matplotlib")
        self.batch = {name: np.array(views)[:NUM_PICTURES] for name, views in batch.items()}
        self.log_dir = log_dir
        self.converter = converter
        self._writer = None

    def on_epoch_end(self, epoch, logs=None):
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))
        pictures = draw_reconstructions(self.model, self.batch, self.converter)
        if not pictures:
            return
        with self._writer.as_default():
            tf.summary.image("reconstruction", np.stack(pictures), epoch, NUM_PICTURES)
        self._writer.flush()

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def draw_reconstructions(pretrainer, batch, converter=None):
    """Return a picture of the first view of every clip, (height, width, 3) bytes; none of NaN."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    outputs = predict_batch(pretrainer, batch)
    # That the network is no more, those tell who stop the training.
    if not np.isfinite(outputs["reconstruction"]).all():
        return []
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

    `keras.callbacks.SwapEMAWeights` ends with those of the weights, which JAX then gives away.
    """
    weights = {id(variable.value) for variable in model.variables}
    for variable in model.optimizer.variables:
        if id(variable.value) in weights:
            variable.assign(keras.ops.copy(variable.value))
