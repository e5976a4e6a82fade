"""Mean average precision over classes."""

import keras
from keras import ops

from keras_asit.arguments import check_choice
from keras_asit.metrics.ranking_metric import RankingMetric, mean_over


@keras.saving.register_keras_serializable(package="keras_asit")
class MeanAveragePrecision(RankingMetric):
    """Mean over classes of the average precision, as scikit-learn computes it, ties included.

    Keras asks for the result after each batch of `fit` and `evaluate`, and each time all clips
    are sorted: with many clips and classes, rather update it once with what `predict` returned.

    Args:
        num_classes: int.
        capacity: int. The largest number of clips; beyond it the result is NaN. Defaults to
            `32768`; each takes 5 bytes a class.
        absent: str. What a class without a positive clip counts as: `"zero"`, as in
            scikit-learn, or `"skip"`, not at all. Defaults to `"zero"`.
        name: str. Defaults to `"mean_average_precision"`.
        dtype: str. Of the result. Defaults to `None`, float32.

    Example:

    ```python
    metric = keras_asit.metrics.MeanAveragePrecision(num_classes=2)
    metric.update_state([[1, 0], [0, 1], [0, 1]], [[0.9, 0.2], [0.1, 0.7], [0.3, 0.1]])
    metric.result()  # (1 + 5 / 6) / 2
    ```

    Reference: Gemmeke et al., "Audio Set", ICASSP 2017, section 5;
    `sklearn.metrics.average_precision_score`.
    """

    def __init__(
        self,
        num_classes,
        capacity=32768,
        absent="zero",
        name="mean_average_precision",
        dtype=None,
    ):
        super().__init__(num_classes, capacity, name, dtype)
        check_choice("absent", absent, ("zero", "skip"))
        self.absent = absent

    def result(self):
        positives, negatives = self.curves()
        precision = positives[:, 1:] / ops.maximum(positives + negatives, 1.0)[:, 1:]
        found = positives[:, 1:] - positives[:, :-1]
        total = positives[:, -1]
        values = ops.sum(found * precision, axis=1) / ops.maximum(total, 1.0)
        present = total > 0
        counted = present if self.absent == "skip" else ops.ones_like(present)
        return self.checked(mean_over(values, counted))

    def get_config(self):
        return {**super().get_config(), "absent": self.absent}
