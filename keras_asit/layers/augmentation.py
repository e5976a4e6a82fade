"""Augmentation of spectrograms in training: hidden bands, noise and shifts."""

import keras
from keras import ops

from keras_asit._arguments import as_seed, check_integer_from_zero, check_number, check_shape


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


@keras.saving.register_keras_serializable(package="keras_asit")
class NoiseAndShift(keras.layers.Layer):
    """Add noise to each spectrogram and roll it in time, in training only.

    Noise is uniform between 0 and an amplitude which is itself uniform between 0 and its
    maximum. The roll is uniform between `-max_frames` and `max_frames`; frames that leave at
    one end come back at the other. Every clip of a batch has an amplitude and a roll of its own.

    Args:
        amplitude: float of at least 0. Largest amplitude of noise. Defaults to `0.1`, in
            normalised spectrograms.
        max_frames: int of at least 0. Largest roll. Defaults to `10`.
        seed: int. Defaults to `None`, a random one.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        spectrograms: tensor of the shape below.
        training: bool. Whether to change anything. Defaults to `False` outside of `fit`.

    Input shape:
        `(batch, frames, mels)`.

    Output shape:
        The same.

    Example:

    ```python
    noise_and_shift = keras_asit.layers.NoiseAndShift(amplitude=0.1, max_frames=10)
    spectrograms = noise_and_shift(np.ones((2, 128, 128)), training=True)
    ```

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, section 3.2,
    for keyword spotting.
    """

    def __init__(self, amplitude=0.1, max_frames=10, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_number("amplitude", amplitude, 0)
        check_integer_from_zero("max_frames", max_frames)
        self.amplitude = float(amplitude)
        self.max_frames = int(max_frames)
        self.seed = as_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def build(self, input_shape):
        check_shape("Spectrograms", input_shape, "(batch, frames, mels)")
        self.built = True

    def call(self, spectrograms, training=False):
        if not training:
            return spectrograms
        return self._shift(spectrograms + self._draw_noise(spectrograms))

    def _draw_noise(self, spectrograms):
        shape = ops.shape(spectrograms)
        amplitudes = keras.random.uniform(
            (shape[0], 1, 1), 0, self.amplitude, seed=self.seed_generator
        )
        noise = keras.random.uniform(shape, seed=self.seed_generator)
        return ops.cast(amplitudes * noise, spectrograms.dtype)

    def _shift(self, spectrograms):
        batch, frames, mels = ops.shape(spectrograms)
        shifts = keras.random.randint(
            (batch, 1), -self.max_frames, self.max_frames + 1, seed=self.seed_generator
        )
        sources = ops.mod(ops.arange(frames, dtype="int32")[None, :] - shifts, frames)
        rows = sources + frames * ops.arange(batch, dtype="int32")[:, None]
        rolled = ops.take(ops.reshape(spectrograms, (-1, mels)), ops.reshape(rows, (-1,)), axis=0)
        return ops.reshape(rolled, (-1, frames, mels))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "amplitude": self.amplitude,
            "max_frames": self.max_frames,
            "seed": self.seed,
        }
