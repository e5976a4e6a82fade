"""The sensitivity index d'."""

import keras
from keras import ops

from keras_asit.metrics.mean_auc import MeanAUC


@keras.saving.register_keras_serializable(package="keras_asit")
class DPrime(MeanAUC):
    """Sensitivity index: the square root of 2 times the inverse normal distribution at `MeanAUC`.

    That is how far apart two normal distributions of variance 1 are that have this AUC.

    Args:
        num_classes: int.
        capacity: int. The largest number of clips; beyond it the result is NaN. Defaults to
            `32768`; each takes 5 bytes a class.
        name: str. Defaults to `"d_prime"`.
        dtype: str. Of the result. Defaults to `None`, float32.

    Example:

    ```python
    metric = keras_asit.metrics.DPrime(num_classes=1)
    metric.update_state([[1], [0], [1], [0]], [[0.9], [0.7], [0.6], [0.1]])
    metric.result()  # 0.954, the AUC being 3 / 4
    ```

    Reference: Gemmeke et al., "Audio Set", ICASSP 2017, section 5.
    """

    def __init__(self, num_classes, capacity=32768, name="d_prime", dtype=None):
        super().__init__(num_classes, capacity, name, dtype)

    def result(self):
        return self.checked(2 * ops.erfinv(2 * self.mean_auc() - 1))
