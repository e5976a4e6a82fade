"""In how many dimensions the embeddings of an epoch's clips lie."""

import keras
import numpy as np
from keras import ops


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
        total = ops.convert_to_numpy(self.total).astype("float64")
        if not total.any() or not np.isfinite(total).all():
            return float("nan")
        squares = np.linalg.eigvalsh(total)
        # Below is the rounding of sums in float32; its roots would add up.
        values = np.sqrt(squares[squares > 1e-6 * squares[-1]])
        shares = values / values.sum()
        return float(np.exp(-np.sum(shares * np.log(shares))))
