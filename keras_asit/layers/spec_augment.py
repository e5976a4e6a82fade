"""SpecAugment: bands of time and of frequency are hidden in training."""

import keras
from keras import ops

from keras_asit.arguments import as_seed, check_integer_from_zero, check_number, check_shape


@keras.saving.register_keras_serializable(package="keras_asit")
class SpecAugment(keras.layers.Layer):
    """Hide one band of frames and one band of mel bins of each spectrogram, in training only.

    The width of a band is uniform between 0 and its maximum, and its place uniform among
    those where it fits. Every clip of a batch has bands of its own.

    Args:
        max_frames: int. Largest number of frames hidden. Defaults to `96`.
        max_mels: int. Largest number of mel bins hidden. Defaults to `24`.
        fill_value: float. Value of what is hidden. Defaults to `0.0`, which is the data set's
            mean in a normalised spectrogram.
        seed: int. Defaults to `None`, a random one.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        spectrograms: tensor of the shape below.
        training: bool. Whether to hide anything. Defaults to `False` outside of `fit`.

    Input shape:
        `(batch, frames, mels)`.

    Output shape:
        The same.

    Example:

    ```python
    spec_augment = keras_asit.layers.SpecAugment(max_frames=192, max_mels=48)
    spectrograms = spec_augment(np.ones((2, 998, 128)), training=True)
    ```

    Reference: Park et al., "SpecAugment", arXiv 1904.08779, section 2, without time warping;
    Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, section 3.1.
    """

    def __init__(self, max_frames=96, max_mels=24, fill_value=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_integer_from_zero("max_frames", max_frames)
        check_integer_from_zero("max_mels", max_mels)
        check_number("fill_value", fill_value)
        self.max_frames = max_frames
        self.max_mels = max_mels
        self.fill_value = fill_value
        self.seed = as_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def build(self, input_shape):
        check_shape("Spectrograms", input_shape, "(batch, frames, mels)")
        _, frames, mels = input_shape
        for name, width, side in (
            ("max_frames", self.max_frames, frames),
            ("max_mels", self.max_mels, mels),
        ):
            if side is not None and width > side:
                raise ValueError(
                    f"`{name}` must be at most the spectrogram's {side}. Received: {name}={width}"
                )
        self.built = True

    def call(self, spectrograms, training=False):
        if not training:
            return spectrograms
        batch, frames, mels = ops.shape(spectrograms)
        hidden = ops.logical_or(
            self._draw_band(batch, frames, self.max_frames)[:, :, None],
            self._draw_band(batch, mels, self.max_mels)[:, None, :],
        )
        fill_value = ops.cast(self.fill_value, spectrograms.dtype)
        return ops.where(hidden, fill_value, spectrograms)

    def _draw_band(self, batch, side, max_width):
        """Return which positions of a side each clip's band covers, (batch, side)."""
        uniform = keras.random.uniform((2, batch, 1), dtype="float32", seed=self.seed_generator)
        width = ops.floor(uniform[0] * (max_width + 1))
        start = ops.floor(uniform[1] * (ops.cast(side, "float32") - width + 1))
        positions = ops.arange(side, dtype="float32")[None, :]
        return ops.logical_and(positions >= start, positions < start + width)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "max_frames": self.max_frames,
            "max_mels": self.max_mels,
            "fill_value": self.fill_value,
            "seed": self.seed,
        }
