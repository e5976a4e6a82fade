"""The heads of pre-training: tokens to similarities with prototypes, and back to a spectrogram."""

import keras
from keras import ops

from keras_asit._arguments import arguments_of, as_pair, check_integers, check_shape
from keras_asit.layers.mlp import MLP, weight_initializer


@keras.saving.register_keras_serializable(package="keras_asit")
class ProjectionHead(keras.layers.Layer):
    """Project tokens and compare them with class prototypes and patch prototypes.

    Three dense layers (GELU, GELU, linear) lead to a bottleneck that is L2-normalized; the
    logits are its inner products with prototypes of unit norm: of the first token with the class
    prototypes, of each other with the patch prototypes.

    Args:
        num_class_prototypes: int. Number of logits of the [CLS] token. Defaults to `8192`.
        num_patch_prototypes: int. Number of logits of each patch token, or `None` to share the
            class prototypes, as the second generation of ASiT does. Defaults to `1024`.
        hidden_dim: int. Width of both hidden layers. Defaults to `2048`.
        bottleneck_dim: int. Width of the bottleneck. Defaults to `256`.
        trainable_gain: bool. Whether each prototype has a trainable gain, its norm, which
            starts at 1; otherwise the norm stays 1. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, 1 + patches, width)`, [CLS] first. There may be no patches.
    Output shape: a pair, class logits `(batch, num_class_prototypes)` and patch logits
        `(batch, patches, num_patch_prototypes)`.

    Example:
    ```python
    head = keras_asit.layers.ProjectionHead(num_class_prototypes=64, num_patch_prototypes=32)
    class_logits, patch_logits = head(keras.random.normal((2, 297, 192)))
    ```

    Reference: Caron et al., "DINO", arXiv 2104.14294, section 3.1; Salimans and Kingma, "Weight
    Normalization", arXiv 1602.07868; Atito et al., "ASiT", arXiv 2211.13189, section III.
    """

    def __init__(
        self,
        num_class_prototypes: int = 8192,
        num_patch_prototypes: int | None = 1024,
        *,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        trainable_gain: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_integers(1, num_class_prototypes=num_class_prototypes)
        check_integers(1, or_none=True, num_patch_prototypes=num_patch_prototypes)
        check_integers(1, hidden_dim=hidden_dim, bottleneck_dim=bottleneck_dim)
        self.num_class_prototypes = num_class_prototypes
        self.num_patch_prototypes = num_patch_prototypes
        self.hidden_dim = hidden_dim
        self.bottleneck_dim = bottleneck_dim
        self.trainable_gain = trainable_gain

    def build(self, input_shape):
        check_shape("Tokens", input_shape, "(batch, tokens, width)")
        widths = [self.hidden_dim, self.hidden_dim, self.bottleneck_dim]
        self.mlp = MLP(widths, dtype=self.dtype_policy, name="mlp")
        self.mlp.build((None, None, input_shape[-1]))
        self.class_prototypes = self._add(self.num_class_prototypes, "class_prototypes")
        self.patch_prototypes = self.class_prototypes
        if self.num_patch_prototypes is not None:
            self.patch_prototypes = self._add(self.num_patch_prototypes, "patch_prototypes")

    def _add(self, number, name):
        prototypes = _Prototypes(number, self.trainable_gain, dtype=self.dtype_policy, name=name)
        prototypes.build((None, None, self.bottleneck_dim))
        return prototypes

    def call(self, tokens):
        # Half precision cannot hold the squares of small activations.
        bottleneck = ops.normalize(ops.cast(self.mlp(tokens), "float32"), axis=-1)
        bottleneck = ops.cast(bottleneck, self.compute_dtype)
        return self.class_prototypes(bottleneck[:, 0]), self.patch_prototypes(bottleneck[:, 1:])

    def compute_output_shape(self, input_shape):
        batch, length = input_shape[:2]
        patches = None if length is None else length - 1
        num_patch_prototypes = self.num_patch_prototypes or self.num_class_prototypes
        return (batch, self.num_class_prototypes), (batch, patches, num_patch_prototypes)

    def get_config(self):
        return {**super().get_config(), **arguments_of(ProjectionHead, self)}


class _Prototypes(keras.layers.Layer):
    """A linear layer without bias whose columns have unit norm, or a trainable one."""

    def __init__(self, num_prototypes, trainable_gain, **kwargs):
        super().__init__(**kwargs)
        self.num_prototypes = num_prototypes
        self.trainable_gain = trainable_gain

    def build(self, input_shape):
        shape = (input_shape[-1], self.num_prototypes)
        self.direction = self.add_weight(
            name="direction", shape=shape, initializer=weight_initializer(), autocast=False
        )
        self.gain = None
        if self.trainable_gain:
            self.gain = self.add_weight(
                name="gain", shape=(self.num_prototypes,), initializer="ones", autocast=False
            )

    def call(self, x):
        prototypes = ops.normalize(self.direction, axis=0)
        if self.gain is not None:
            prototypes = prototypes * self.gain
        return ops.matmul(x, ops.cast(prototypes, x.dtype))


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
