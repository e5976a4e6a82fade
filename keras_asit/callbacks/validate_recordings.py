"""Accuracy or mean average precision of whole recordings after each epoch."""

import keras
import numpy as np

from keras_asit.data import LabeledClips
from keras_asit.evaluation import predict_recordings
from keras_asit.metrics import MeanAveragePrecision


class ValidateRecordings(keras.callbacks.Callback):
    """Add what a classifier is worth on whole recordings to the logs of each epoch.

    Recordings are cut into windows whose probabilities are averaged. The log is
    `val_accuracy`, or of a classifier with `multi_label` `val_mean_average_precision`, and
    callbacks after this one (`keras.callbacks.ModelCheckpoint`, `TensorBoard`) see it. It is NaN
    if a probability is not finite.

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

    def __init__(self, clips, overlap=0.0, batch_size=32):
        super().__init__()
        if not isinstance(clips, LabeledClips):
            raise ValueError(f"`clips` must be LabeledClips. Received: {type(clips).__name__}")
        self.clips = clips
        self.overlap = overlap
        self.batch_size = batch_size

    def on_epoch_end(self, epoch, logs=None):
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
