"""From a spectrogram to the tokens of a transformer."""

import keras
import numpy as np
from keras import ops

from keras_asit._arguments import arguments_of, as_pair, check_integers, check_shape
from keras_asit.layers.mlp import weight_initializer


@keras.saving.register_keras_serializable(package="keras_asit")
class PatchEmbedding(keras.layers.Layer):
    """Cut spectrograms into patches and embed them as tokens, behind a [CLS] token.

    Tokens are in time-major order: all mel patches of the first frames, then all of the next. For
    spectrograms of another size than `spectrogram_shape`, the grid of position embeddings is
    interpolated bicubically, also when saved weights are loaded, with the pixel centers and the
    kernel (a = -0.75) of PyTorch's `interpolate(..., mode="bicubic", align_corners=False)`.

    Args:
        hidden_dim: int. Width of the tokens.
        spectrogram_shape: pair of ints, (frames, mels), that positions are learned for. Defaults
            to `(592, 128)`.
        patch_size: int or pair of ints, (frames, mels) of a patch. Defaults to `(16, 16)`.
        patch_stride: int or pair of ints. Distance between patches along both axes; smaller
            than `patch_size`, patches overlap, as in AST. Defaults to `None`, `patch_size`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, frames, mels)`.
    Output shape: `(batch, 1 + patches, hidden_dim)`, [CLS] first.

    Example:
    ```python
    embedding = keras_asit.layers.PatchEmbedding(hidden_dim=192)
    tokens = embedding(keras.random.normal((2, 592, 128)))  # (2, 1 + 37 * 8, 192)
    ```

    Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929, equation 1.
    """

    def __init__(
        self,
        hidden_dim: int,
        spectrogram_shape: tuple[int, int] = (592, 128),
        patch_size: int | tuple[int, int] = (16, 16),
        *,
        patch_stride: int | tuple[int, int] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_integers(1, hidden_dim=hidden_dim)
        self.hidden_dim = hidden_dim
        self.spectrogram_shape = as_pair("spectrogram_shape", spectrogram_shape)
        self.patch_size = as_pair("patch_size", patch_size)
        stride = self.patch_size if patch_stride is None else patch_stride
        self.patch_stride = as_pair("patch_stride", stride)
        self.grid_shape = self.compute_grid_shape(self.spectrogram_shape)

    def compute_grid_shape(self, spectrogram_shape: tuple[int, int]) -> tuple[int, int]:
        """Return the number of patches along time and along mel, at least one of each."""
        sizes = zip(spectrogram_shape, self.patch_size, self.patch_stride)
        grid_shape = tuple((size - patch) // stride + 1 for size, patch, stride in sizes)
        if min(grid_shape) < 1:
            raise ValueError(
                f"A spectrogram of {tuple(spectrogram_shape)} (frames, mels) is smaller than a "
                f"patch of {self.patch_size}. Give longer audio or a smaller `patch_size`."
            )
        return grid_shape

    def build(self, input_shape=None):
        width, num_patches = self.hidden_dim, self.grid_shape[0] * self.grid_shape[1]
        self.kernel = self._add("kernel", (*self.patch_size, 1, width))
        self.bias = self.add_weight(name="bias", shape=(width,), initializer="zeros")
        self.class_token = self._add("class_token", (1, 1, width))
        self.position_embedding = self._add("position_embedding", (1, 1 + num_patches, width))

    def _add(self, name, shape):
        return self.add_weight(name=name, shape=shape, initializer=weight_initializer())

    def call(self, spectrograms):
        check_shape("Spectrograms", spectrograms.shape, "(batch, frames, mels)")
        grid_shape = self.compute_grid_shape(spectrograms.shape[1:])
        embed = self._multiply if self.patch_stride == self.patch_size else self._convolve
        num_patches = grid_shape[0] * grid_shape[1]
        patches = ops.reshape(embed(spectrograms, grid_shape), (-1, num_patches, self.hidden_dim))
        patches = patches + self.bias
        positions = resample_positions(
            ops.convert_to_tensor(self.position_embedding), self.grid_shape, grid_shape
        )
        patches = patches + positions[:, 1:]
        class_token = ops.broadcast_to(
            self.class_token + positions[:, :1], (ops.shape(patches)[0], 1, self.hidden_dim)
        )
        return ops.concatenate([class_token, patches], axis=1)

    def _multiply(self, spectrograms, grid_shape):
        # Without overlap, the convolution is one matrix product, which JAX has faster on a CPU.
        (rows, columns), (frames, mels) = grid_shape, self.patch_size
        tiles = spectrograms[:, : rows * frames, : columns * mels]
        tiles = ops.reshape(tiles, (-1, rows, frames, columns, mels))
        tiles = ops.reshape(
            ops.transpose(tiles, (0, 1, 3, 2, 4)), (-1, rows * columns, frames * mels)
        )
        return ops.matmul(tiles, ops.reshape(self.kernel, (frames * mels, self.hidden_dim)))

    def _convolve(self, spectrograms, grid_shape):
        return ops.conv(
            ops.expand_dims(spectrograms, -1),
            self.kernel,
            strides=self.patch_stride,
            padding="valid",
            data_format="channels_last",
        )

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["grid_shape"] = np.array(self.grid_shape)

    def load_own_variables(self, store):
        # The stores of weight files have keys, but can be neither iterated nor unpacked.
        values = {name: store[name] for name in list(store.keys()) if name != "grid_shape"}
        saved_shape = tuple(int(side) for side in store["grid_shape"])
        position = str([weight.name for weight in self.weights].index("position_embedding"))
        values[position] = resample_positions(values[position], saved_shape, self.grid_shape)
        super().load_own_variables(values)

    def compute_output_shape(self, input_shape):
        grid_shape = self.compute_grid_shape(input_shape[1:])
        return (input_shape[0], 1 + grid_shape[0] * grid_shape[1], self.hidden_dim)

    def get_config(self):
        return {**super().get_config(), **arguments_of(PatchEmbedding, self)}


def resample_positions(positions, old_shape, new_shape):
    """Resample position embeddings, `(1, 1 + old positions, width)`, the first for [CLS]."""
    if old_shape == new_shape:
        return positions
    positions = ops.convert_to_tensor(positions)
    along_time, along_mel = (
        ops.cast(_bicubic_matrix(old, new), positions.dtype)
        for old, new in zip(old_shape, new_shape)
    )
    width = positions.shape[-1]
    grid = ops.reshape(positions[:, 1:], (*old_shape, width))
    grid = ops.einsum("at,bm,tmd->abd", along_time, along_mel, grid)
    return ops.concatenate([positions[:, :1], ops.reshape(grid, (1, -1, width))], axis=1)


def _bicubic_matrix(old_size, new_size):
    """Weights of `old_size` samples in each of `new_size`; samples past the border repeat it."""
    centers = (np.arange(new_size) + 0.5) * old_size / new_size - 0.5
    matrix = np.zeros((new_size, old_size))
    for offset in (-1, 0, 1, 2):
        neighbors = np.floor(centers).astype(int) + offset
        weights = _cubic_kernel(np.abs(centers - neighbors))
        np.add.at(matrix, (np.arange(new_size), np.clip(neighbors, 0, old_size - 1)), weights)
    return matrix


def _cubic_kernel(distance, a=-0.75):
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, far)
