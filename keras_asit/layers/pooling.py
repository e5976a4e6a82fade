"""From ASiT's tokens to embeddings: one a clip, or one a time step."""

import keras
from keras import ops

from keras_asit._arguments import arguments_of, check_choice, check_integers, check_shape

POOLINGS = ("cls", "mean", "cls_and_mean")


@keras.saving.register_keras_serializable(package="keras_asit")
class TokenPooling(keras.layers.Layer):
    """Pool the tokens of a clip into one vector.

    Args:
        pooling: str. `"cls"`, the [CLS] token; `"mean"`, the mean of the patch tokens; or
            `"cls_and_mean"`, the two of them side by side. Defaults to `"cls"`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, 1 + patches, width)`, [CLS] first, as `ASiTBackbone` gives it.
    Output shape: `(batch, width)`, or `(batch, 2 * width)` for `"cls_and_mean"`.

    Example:

    ```python
    embedding = keras_asit.layers.TokenPooling("mean")(np.zeros((2, 25, 192)))  # (2, 192)
    ```

    Reference: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", arXiv
    2104.14294, appendix F.2, for the two side by side.
    """

    def __init__(self, pooling: str = "cls", **kwargs):
        super().__init__(**kwargs)
        check_choice("pooling", pooling, POOLINGS)
        self.pooling = pooling

    def build(self, input_shape):
        check_shape("Tokens", input_shape, "(batch, 1 + patches, width)")

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
        return {**super().get_config(), **arguments_of(TokenPooling, self)}


@keras.saving.register_keras_serializable(package="keras_asit")
class FramePooling(keras.layers.Layer):
    """Average the patch tokens of each time step over mel; [CLS] is left out.

    Args:
        num_mel_patches: int. Number of patches along mel, `backbone.grid_shape[1]`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, 1 + patches, width)`, [CLS] first, then patches in time-major order.
    Output shape: `(batch, patches / num_mel_patches, width)`.

    Example:

    ```python
    frames = keras_asit.layers.FramePooling(8)(np.zeros((2, 1 + 37 * 8, 192)))  # (2, 37, 192)
    ```
    """

    def __init__(self, num_mel_patches: int, **kwargs):
        super().__init__(**kwargs)
        check_integers(1, num_mel_patches=num_mel_patches)
        self.num_mel_patches = num_mel_patches

    def build(self, input_shape):
        check_shape("Tokens", input_shape, "(batch, 1 + patches, width)")
        if input_shape[1] is None or (input_shape[1] - 1) % self.num_mel_patches:
            raise ValueError(
                "Tokens must have shape (batch, 1 + patches, width), patches a multiple of "
                f"`num_mel_patches`, {self.num_mel_patches}, and known. "
                f"Received: shape={tuple(input_shape)}"
            )

    def call(self, tokens):
        _, number, width = tokens.shape
        steps = (number - 1) // self.num_mel_patches
        patches = ops.reshape(tokens[:, 1:], (-1, steps, self.num_mel_patches, width))
        return ops.mean(patches, axis=2)

    def compute_output_shape(self, input_shape):
        batch, number, width = input_shape
        return (batch, (number - 1) // self.num_mel_patches, width)

    def get_config(self):
        return {**super().get_config(), **arguments_of(FramePooling, self)}
