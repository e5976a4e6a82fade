"""From ASiT's tokens to one embedding of a clip."""

import keras
from keras import ops

from keras_asit.arguments import check_choice, check_shape

POOLINGS = ("cls", "mean", "cls_and_mean")


@keras.saving.register_keras_serializable(package="keras_asit")
class TokenPooling(keras.layers.Layer):
    """Pool the tokens of a clip into one vector.

    Args:
        pooling: str. `"cls"`, the [CLS] token; `"mean"`, the mean of the patch tokens; or
            `"cls_and_mean"`, the two of them side by side. Defaults to `"cls"`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, 1 + patches, width)`, [CLS] first, as `ASiTBackbone` gives it.

    Output shape:
        `(batch, width)`, or `(batch, 2 * width)` for `"cls_and_mean"`.

    Example:

    ```python
    embedding = keras_asit.layers.TokenPooling("mean")(np.zeros((2, 25, 192)))  # (2, 192)
    ```

    Reference: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", arXiv
    2104.14294, appendix F.2, for the two side by side.
    """

    def __init__(self, pooling="cls", **kwargs):
        super().__init__(**kwargs)
        check_choice("pooling", pooling, POOLINGS)
        self.pooling = pooling

    def build(self, input_shape):
        check_shape("Tokens", input_shape, "(batch, 1 + patches, width)")
        self.built = True

    def call(self, tokens):
        class_token = tokens[:, 0]
        if self.pooling == "cls":
            return class_token
        mean = ops.mean(tokens[:, 1:], axis=1)
        return mean if self.pooling == "mean" else ops.concatenate([class_token, mean], axis=-1)

    def compute_output_shape(self, input_shape):
        width = input_shape[-1]
        return (input_shape[0], 2 * width if self.pooling == "cls_and_mean" else width)

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}
