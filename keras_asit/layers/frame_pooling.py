"""From ASiT's tokens to embeddings over time."""

import keras
from keras import ops

from keras_asit.arguments import check_positive_integer, check_shape


@keras.saving.register_keras_serializable(package="keras_asit")
class FramePooling(keras.layers.Layer):
    """Average the patch tokens of each time step over mel; [CLS] is left out.

    Args:
        num_mel_patches: int. Number of patches along mel, `backbone.grid_shape[1]`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, 1 + patches, width)`, [CLS] first, then patches in time-major order.

    Output shape:
        `(batch, patches / num_mel_patches, width)`.

    Example:

    ```python
    frames = keras_asit.layers.FramePooling(8)(np.zeros((2, 1 + 37 * 8, 192)))  # (2, 37, 192)
    ```
    """

    def __init__(self, num_mel_patches, **kwargs):
        super().__init__(**kwargs)
        check_positive_integer("num_mel_patches", num_mel_patches)
        self.num_mel_patches = num_mel_patches

    def build(self, input_shape):
        check_shape("Tokens", input_shape, "(batch, 1 + patches, width)")
        if input_shape[1] is None or (input_shape[1] - 1) % self.num_mel_patches:
            raise ValueError(
                "Tokens must have shape (batch, 1 + patches, width), patches a multiple of "
                f"`num_mel_patches`, {self.num_mel_patches}, and known. "
                f"Received: shape={tuple(input_shape)}"
            )
        self.built = True

    def call(self, tokens):
        _, number, width = tokens.shape
        steps = (number - 1) // self.num_mel_patches
        patches = ops.reshape(tokens[:, 1:], (-1, steps, self.num_mel_patches, width))
        return ops.mean(patches, axis=2)

    def compute_output_shape(self, input_shape):
        batch, number, width = input_shape
        return (batch, (number - 1) // self.num_mel_patches, width)

    def get_config(self):
        return {**super().get_config(), "num_mel_patches": self.num_mel_patches}
