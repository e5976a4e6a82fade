"""From patch tokens back to a spectrogram."""

import keras
from keras import ops

from keras_asit._arguments import arguments_of, as_pair, check_integers, check_shape
from keras_asit.layers.mlp import MLP, weight_initializer


@keras.saving.register_keras_serializable(package="keras_asit")
class ReconstructionHead(keras.layers.Layer):
    """Reconstruct a spectrogram from the tokens of its patches.

    Three dense layers, each with GELU, then one transposed convolution that paints every token
    over its patch.

    Args:
        grid_shape: pair of ints. Number of patches along time and along mel.
        patch_size: int or pair of ints, (frames, mels) of a patch. Defaults to `(16, 16)`.
        hidden_dim: int. Width of both hidden layers. Defaults to `768`.
        bottleneck_dim: int. Width of the layer that the convolution reads. Defaults to `128`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, patches, width)`, in time-major order, without [CLS].
    Output shape: `(batch, frames, mels)`, the grid times the patch size.

    Example:

    ```python
    head = keras_asit.layers.ReconstructionHead(grid_shape=(37, 8))
    spectrograms = head(keras.random.normal((2, 296, 192)))  # (2, 592, 128)
    ```

    Reference: Atito et al., "ASiT", arXiv 2211.13189, section III.
    """

    def __init__(
        self,
        grid_shape: tuple[int, int],
        patch_size: int | tuple[int, int] = (16, 16),
        *,
        hidden_dim: int = 768,
        bottleneck_dim: int = 128,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_integers(1, hidden_dim=hidden_dim, bottleneck_dim=bottleneck_dim)
        self.grid_shape = as_pair("grid_shape", grid_shape)
        self.patch_size = as_pair("patch_size", patch_size)
        self.hidden_dim = hidden_dim
        self.bottleneck_dim = bottleneck_dim

    def build(self, input_shape):
        check_shape("Patch tokens", input_shape, "(batch, patches, width)")
        widths = [self.hidden_dim, self.hidden_dim, self.bottleneck_dim]
        self.mlp = MLP(widths, activate_last=True, dtype=self.dtype_policy, name="mlp")
        self.mlp.build((None, None, input_shape[-1]))
        shape = (self.bottleneck_dim, *self.patch_size)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=weight_initializer())
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros")

    def call(self, patch_tokens):
        if patch_tokens.shape[1] != self.grid_shape[0] * self.grid_shape[1]:
            raise ValueError(
                f"A grid of {self.grid_shape} patches needs as many tokens as patches, without "
                f"[CLS]. Received: patch_tokens.shape={tuple(patch_tokens.shape)}"
            )
        # With the stride of the patch size, a transposed convolution is one matrix product.
        (rows, columns), (frames, mels) = self.grid_shape, self.patch_size
        kernel = ops.reshape(self.kernel, (self.bottleneck_dim, frames * mels))
        patches = ops.matmul(self.mlp(patch_tokens), kernel) + self.bias
        patches = ops.reshape(patches, (-1, rows, columns, frames, mels))
        patches = ops.transpose(patches, (0, 1, 3, 2, 4))
        return ops.reshape(patches, (-1, rows * frames, columns * mels))

    def compute_output_shape(self, input_shape):
        (rows, columns), (frames, mels) = self.grid_shape, self.patch_size
        return (input_shape[0], rows * frames, columns * mels)

    def get_config(self):
        return {**super().get_config(), **arguments_of(ReconstructionHead, self)}
