"""What metrics of ranked scores have in common."""

import keras
from keras import ops

from keras_asit.arguments import check_positive_integer


class RankingMetric(keras.metrics.Metric):
    """Keep the scores and labels of all clips, and rank the clips of each class.

    Exact results need every score, so there is a capacity. Once it is exceeded the result is
    NaN, and so it is if any score is.

    Args:
        num_classes: int.
        capacity: int. The largest number of clips. Defaults to `32768`; each takes 5 bytes a
            class.
        name: str.
        dtype: str. Of the result. Defaults to `None`, float32.
    """

    def __init__(self, num_classes, capacity=32768, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        check_positive_integer("num_classes", num_classes)
        check_positive_integer("capacity", capacity)
        self.num_classes = num_classes
        self.capacity = capacity
        # The last row takes what does not fit.
        shape = (capacity + 1, num_classes)
        self.scores = self.add_variable(shape, "zeros", dtype="float32", name="scores")
        self.labels = self.add_variable(shape, "zeros", dtype="uint8", name="labels")
        self.count = self.add_variable((), "zeros", dtype="int32", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take in a batch.

        Args:
            y_true: tensor of shape `(batch, num_classes)` of zeros and ones; what is mixed
                counts as 1 from 0.5 on.
            y_pred: tensor of shape `(batch, num_classes)`; logits or probabilities, because
                only their order counts.
            sample_weight: must be `None`.

        Raises:
            ValueError: for other shapes, or weights.
        """
        if sample_weight is not None:
            raise ValueError(f"{type(self).__name__} takes no `sample_weight`.")
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        for name, value in (("y_true", y_true), ("y_pred", y_pred)):
            if len(value.shape) != 2 or value.shape[1] != self.num_classes:
                raise ValueError(
                    f"`{name}` must have shape (batch, {self.num_classes}). "
                    f"Received: shape={tuple(value.shape)}"
                )
        batch = ops.shape(y_pred)[0]
        rows = ops.minimum(self.count + ops.arange(batch, dtype="int32"), self.capacity)[:, None]
        labels = ops.cast(ops.cast(y_true, "float32") >= 0.5, "uint8")
        self.scores.assign(ops.scatter_update(self.scores, rows, ops.cast(y_pred, "float32")))
        self.labels.assign(ops.scatter_update(self.labels, rows, labels))
        self.count.assign(self.count + batch)

    def curves(self):
        """Return how many clips of each class score at least as high as each threshold.

        Returns:
            A tuple of the numbers of positive and of negative clips: float32 tensors of shape
            `(num_classes, 1 + capacity)`, from no clip to all of them. Thresholds are the
            different scores; where there are fewer than columns, the last is repeated.
        """
        valid = ops.arange(self.capacity, dtype="int32") < self.count
        scores = ops.transpose(ops.where(valid[:, None], self.scores[:-1], -float("inf")))
        order = ops.argsort(-scores, axis=1)
        scores = ops.take_along_axis(scores, order, axis=1)
        labels = ops.transpose(ops.where(valid[:, None], self.labels[:-1], 0))
        labels = ops.cast(ops.take_along_axis(labels, order, axis=1), "float32")
        # Clips of one score pass a threshold together: counts are taken at the last of them.
        last = ops.pad(scores[:, 1:] != scores[:, :-1], [[0, 0], [0, 1]], constant_values=True)
        places = ops.arange(self.capacity, dtype="int32")
        places = ops.sort(ops.where(last, places, self.capacity - 1), axis=1)
        # Clips that are not there come last, and are neither positive nor negative.
        counted = ops.cast(valid, "float32")[None, :]
        return tuple(
            ops.pad(
                ops.take_along_axis(ops.cumsum(clips, axis=1), places, axis=1), [[0, 0], [1, 0]]
            )
            for clips in (labels, counted - labels)
        )

    def checked(self, value):
        """Return `value`, or NaN if the capacity is exceeded or a score is NaN."""
        valid = ops.arange(self.capacity, dtype="int32") < self.count
        any_nan = ops.any(ops.logical_and(ops.isnan(self.scores[:-1]), valid[:, None]))
        broken = ops.logical_or(any_nan, self.count > self.capacity)
        return ops.cast(ops.where(broken, float("nan"), value), self.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "capacity": self.capacity,
        }


def mean_over(values, counted):
    """Return the mean of those values that are counted, 0 if none is."""
    counted = ops.cast(counted, values.dtype)
    return ops.sum(values * counted) / ops.maximum(ops.sum(counted), 1.0)
