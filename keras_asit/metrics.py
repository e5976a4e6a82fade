"""Metrics: of clips that can have several labels, exact; and of what embeddings span."""

import keras
import numpy as np
from keras import ops

from keras_asit._arguments import arguments_of, check_integers
from keras_asit.replicas import mean_over_replicas

__all__ = ["DPrime", "MeanAUC", "MeanAveragePrecision"]


class RankingMetric(keras.metrics.Metric):
    """Keep the scores and labels of all clips, and rank the clips of each class.

    Exact results need every score. Beyond its capacity the result is NaN, and if any score is.
    """

    default_name = None
    # What processes keep of their clips are rows, no sums.
    adds_up = False

    def __init__(self, num_classes: int, capacity: int = 32768, *, name=None, dtype=None):
        super().__init__(name=name or self.default_name, dtype=dtype)
        check_integers(1, num_classes=num_classes, capacity=capacity)
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
            y_true: tensor of shape `(batch, num_classes)`; what is mixed counts from 0.5 on.
            y_pred: tensor of the same shape, logits or probabilities: only their order counts.
            sample_weight: must be `None`.
        """
        if sample_weight is not None:
            raise ValueError(f"{type(self).__name__} takes no `sample_weight`.")
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        for name, shape in (("y_true", tuple(y_true.shape)), ("y_pred", tuple(y_pred.shape))):
            if len(shape) != 2 or shape[1] != self.num_classes:
                expected = f"(batch, {self.num_classes})"
                raise ValueError(f"`{name}` must have shape {expected}. Received: shape={shape}")
        batch = ops.shape(y_pred)[0]
        rows = ops.minimum(self.count + ops.arange(batch, dtype="int32"), self.capacity)[:, None]
        labels = ops.cast(ops.cast(y_true, "float32") >= 0.5, "uint8")
        self.scores.assign(ops.scatter_update(self.scores, rows, ops.cast(y_pred, "float32")))
        self.labels.assign(ops.scatter_update(self.labels, rows, labels))
        self.count.assign(self.count + batch)

    def result(self):
        valid = ops.arange(self.capacity, dtype="int32") < self.count
        any_nan = ops.any(ops.logical_and(ops.isnan(self.scores[:-1]), valid[:, None]))
        broken = ops.logical_or(any_nan, self.count > self.capacity)
        value = self.value(*self.curves(valid))
        return ops.cast(ops.where(broken, float("nan"), value), self.dtype)

    def curves(self, valid):
        """Return how many positive, and negative, clips of each class reach each threshold.

        They are float32 of shape `(num_classes, 1 + capacity)`, from no clip to all. Thresholds are
        the different scores; where there are fewer than columns, the last is repeated.
        """
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
        sums = [ops.cumsum(clips, axis=1) for clips in (labels, counted - labels)]
        return [ops.pad(ops.take_along_axis(s, places, axis=1), [[0, 0], [1, 0]]) for s in sums]

    def get_config(self):
        return {**super().get_config(), **arguments_of(RankingMetric, self)}


@keras.saving.register_keras_serializable(package="keras_asit")
class MeanAveragePrecision(RankingMetric):
    """Mean over classes of the average precision, as scikit-learn computes it, ties included.

    A class without a positive clip counts as 0. Keras asks for the result after each batch of `fit`
    and `evaluate`, and each time all clips are sorted: with many clips and classes, rather update
    it once with what `predict` returned.

    Args:
        num_classes: int.
        capacity: int. The largest number of clips; beyond it the result is NaN. Defaults to
            `32768`; each takes 5 bytes a class.
        name: str. Defaults to `"mean_average_precision"`.
        dtype: str. Of the result. Defaults to `None`, float32.

    Example:
    ```python
    metric = keras_asit.metrics.MeanAveragePrecision(num_classes=2)
    metric.update_state([[1, 0], [0, 1], [0, 1]], [[0.9, 0.2], [0.1, 0.7], [0.3, 0.1]])
    metric.result()  # (1 + 5 / 6) / 2
    ```

    Reference: Gemmeke et al., "Audio Set", ICASSP 2017, section 5.
    """

    default_name = "mean_average_precision"

    def value(self, positives, negatives):
        precision = positives[:, 1:] / ops.maximum(positives + negatives, 1.0)[:, 1:]
        found = positives[:, 1:] - positives[:, :-1]
        total = positives[:, -1]
        return ops.mean(ops.sum(found * precision, axis=1) / ops.maximum(total, 1.0))


@keras.saving.register_keras_serializable(package="keras_asit")
class MeanAUC(RankingMetric):
    """Mean over classes of the area under the ROC curve, exact, ties counted half.

    Classes without a positive or without a negative clip have no curve and are left out.

    Args:
        num_classes, capacity, name, dtype: as in `MeanAveragePrecision`.

    Example:
    ```python
    metric = keras_asit.metrics.MeanAUC(num_classes=1)
    metric.update_state([[1], [0], [1], [0]], [[0.9], [0.7], [0.6], [0.1]])
    metric.result()  # 3 / 4
    ```

    Reference: Gemmeke et al., "Audio Set", ICASSP 2017, section 5.
    """

    default_name = "mean_auc"

    def value(self, *curves):
        # Shares, because float32 does not hold products of counts exactly.
        totals = [curve[:, -1:] for curve in curves]
        rates = [curve / ops.maximum(total, 1.0) for curve, total in zip(curves, totals)]
        heights = (rates[0][:, 1:] + rates[0][:, :-1]) / 2
        areas = ops.sum(heights * (rates[1][:, 1:] - rates[1][:, :-1]), axis=1)
        counted = ops.cast(ops.logical_and(totals[0] > 0, totals[1] > 0)[:, 0], areas.dtype)
        return ops.sum(areas * counted) / ops.maximum(ops.sum(counted), 1.0)


@keras.saving.register_keras_serializable(package="keras_asit")
class DPrime(MeanAUC):
    """Sensitivity index: how far apart two normal distributions are that have this `MeanAUC`.

    Args:
        num_classes, capacity, name, dtype: as in `MeanAveragePrecision`.

    Example:
    ```python
    metric = keras_asit.metrics.DPrime(num_classes=1)
    metric.update_state([[1], [0], [1], [0]], [[0.9], [0.7], [0.6], [0.1]])
    metric.result()  # 0.954, the AUC being 3 / 4
    ```

    Reference: Gemmeke et al., "Audio Set", ICASSP 2017, section 5.
    """

    default_name = "d_prime"

    def value(self, *curves):
        return 2 * ops.erfinv(2 * super().value(*curves) - 1)


class SecondMoment(keras.metrics.Metric):
    """Keep the sum of the outer products of embeddings, of all clips and replicas of an epoch.

    It has no result of its own: `effective_rank` takes too long to be asked for after each batch.
    """

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.total = self.add_variable((width, width), "zeros", dtype="float32", name="total")

    def update_state(self, embeddings):
        """Take in embeddings of shape `(..., width)`."""
        rows = ops.reshape(ops.cast(embeddings, "float32"), (-1, self.total.shape[0]))
        self.total.assign_add(ops.matmul(ops.transpose(rows), rows))

    def result(self):
        return {}

    def effective_rank(self):
        """Return the exponential of the entropy of the singular values, as shares of their sum.

        Those are of the matrix of all embeddings. Without any, or of some that are not finite,
        it is NaN.
        """
        total = ops.convert_to_numpy(mean_over_replicas(ops.convert_to_tensor(self.total)))
        total = total.astype("float64")
        if not total.any() or not np.isfinite(total).all():
            return float("nan")
        squares = np.linalg.eigvalsh(total)
        # Below is the rounding of sums in float32; its roots would add up.
        values = np.sqrt(squares[squares > 1e-6 * squares[-1]])
        shares = values / values.sum()
        return float(np.exp(-np.sum(shares * np.log(shares))))
