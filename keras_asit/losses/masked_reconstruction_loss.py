"""Mean absolute error of a reconstruction where it was masked."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_asit")
class MaskedReconstructionLoss(keras.losses.Loss):
    """Mean absolute error over masked pixels only; 0 where nothing is masked.

    Pass the mask as `sample_weight`.

    Args:
        reduction: str. As for any Keras loss. Defaults to `"mean_with_sample_weight"`, the mean
            over masked pixels.
        name: str. Defaults to `"masked_reconstruction_loss"`.
        **kwargs: Arguments of `keras.losses.Loss`.

    Call arguments:
        y_true: the clean spectrograms, `(..., frames, mels)`.
        y_pred: their reconstruction, of the same shape.
        sample_weight: the mask, of the same shape, 1 where the input was corrupted.

    Example:

    ```python
    loss = keras_asit.losses.MaskedReconstructionLoss()
    clean, reconstruction = keras.random.normal((2, 8, 592, 128))
    value = loss(clean, reconstruction, sample_weight=keras.ops.ones((8, 592, 128)))
    ```

    Reference: Atito et al., "ASiT", arXiv 2211.13189, section III.
    """

    def __init__(
        self,
        reduction="mean_with_sample_weight",
        name="masked_reconstruction_loss",
        **kwargs,
    ):
        super().__init__(reduction=reduction, name=name, **kwargs)

    def __call__(self, y_true, y_pred, sample_weight=None):
        shapes = [tuple(x.shape) for x in (y_true, y_pred, sample_weight) if x is not None]
        batches = {shape[0] for shape in shapes} - {None}
        if len({shape[1:] for shape in shapes}) > 1 or len(batches) > 1:
            raise ValueError(
                "Spectrograms, their reconstruction and the mask must have the same shape. "
                f"Received: {', '.join(map(str, shapes))}"
            )
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        return ops.abs(y_true - y_pred)
