"""Mean area under the ROC curve over classes."""

import keras
from keras import ops

from keras_asit.metrics.ranking_metric import RankingMetric, mean_over


@keras.saving.register_keras_serializable(package="keras_asit")
class MeanAUC(RankingMetric):
    """Mean over classes of the area under the ROC curve, exact, ties counted half.

    Classes without a positive or without a negative clip have no curve and are left out. As
    with `MeanAveragePrecision`, each result sorts all clips.

    Args:
        num_classes: int.
        capacity: int. The largest number of clips; beyond it the result is NaN. Defaults to
            `32768`; each takes 5 bytes a class.
        name: str. Defaults to `"mean_auc"`.
        dtype: str. Of the result. Defaults to `None`, float32.

    Example:

    ```python
    metric = keras_asit.metrics.MeanAUC(num_classes=2)
    metric.update_state([[1, 0], [0, 1], [0, 1]], [[0.9, 0.2], [0.1, 0.7], [0.3, 0.1]])
    metric.result()  # (1 + 1 / 2) / 2
    ```

    Reference: Gemmeke et al., "Audio Set", ICASSP 2017, section 5.
    """

    def __init__(self, num_classes, capacity=32768, name="mean_auc", dtype=None):
        super().__init__(num_classes, capacity, name, dtype)

    def result(self):
        return self.checked(self.mean_auc())

    def mean_auc(self):
        """Return the mean area, without the checks of `result`."""
        # Shares, because float32 does not hold products of counts exactly.
        curves = self.curves()
        totals = [curve[:, -1:] for curve in curves]
        rates = [curve / ops.maximum(total, 1.0) for curve, total in zip(curves, totals)]
        heights = (rates[0][:, 1:] + rates[0][:, :-1]) / 2
        areas = ops.sum(heights * (rates[1][:, 1:] - rates[1][:, :-1]), axis=1)
        return mean_over(areas, ops.logical_and(totals[0] > 0, totals[1] > 0)[:, 0])
