"""Augmentation of spectrograms in training: hidden bands, noise and shifts."""

import keras
from keras import ops

from keras_asit._arguments import arguments_of, as_seed, check_integers, check_number, check_shape
from keras_asit.replicas import draw_rows


class _Augmentation(keras.layers.Layer):
    """A layer that changes spectrograms at random, in training only."""

    def __init__(self, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.seed = as_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def build(self, input_shape):
        check_shape("Spectrograms", input_shape, "(batch, frames, mels)")

    def call(self, spectrograms, training=False):
        return self.augment(spectrograms) if training else spectrograms

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), **arguments_of(type(self), self)}

    def _uniform(self, shape):
        return draw_rows("uniform", shape, self.seed_generator)


@keras.saving.register_keras_serializable(package="keras_asit")
class SpecAugment(_Augmentation):
    """Hide one band of frames and one band of mel bins of each spectrogram, in training only.

    Zeros, the data set's mean, take their place. The width of a band is uniform between 0 and its
    maximum, and its place uniform among those where it fits. Every clip has bands of its own.

    Args:
        max_frames: int. Largest number of frames hidden. Defaults to `96`.
        max_mels: int. Largest number of mel bins hidden. Defaults to `24`.
        seed: int. Defaults to `None`, a random one.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, frames, mels)`.
    Output shape: the same.

    Example:
    ```python
    spec_augment = keras_asit.layers.SpecAugment(max_frames=192, max_mels=48)
    spectrograms = spec_augment(np.ones((2, 998, 128)), training=True)
    ```

    Reference: Park et al., "SpecAugment", arXiv 1904.08779, section 2, without time warping.
    """

    def __init__(
        self, max_frames: int = 96, max_mels: int = 24, *, seed: int | None = None, **kwargs
    ):
        super().__init__(seed=seed, **kwargs)
        check_integers(0, max_frames=max_frames, max_mels=max_mels)
        self.max_frames = int(max_frames)
        self.max_mels = int(max_mels)

    def build(self, input_shape):
        super().build(input_shape)
        widths = {"max_frames": self.max_frames, "max_mels": self.max_mels}
        for (name, width), side in zip(widths.items(), input_shape[1:]):
            if side is not None and width > side:
                raise ValueError(
                    f"`{name}` must be at most the spectrogram's {side}. Received: {name}={width}"
                )

    def augment(self, spectrograms):
        batch, frames, mels = ops.shape(spectrograms)
        hidden = ops.logical_or(
            self._draw_band(batch, frames, self.max_frames)[:, :, None],
            self._draw_band(batch, mels, self.max_mels)[:, None, :],
        )
        return ops.where(hidden, ops.zeros_like(spectrograms), spectrograms)

    def _draw_band(self, batch, side, max_width):
        """Return which positions of a side each clip's band covers, (batch, side)."""
        uniform = self._uniform((batch, 2, 1))
        width = ops.floor(uniform[:, 0] * (max_width + 1))
        start = ops.floor(uniform[:, 1] * (ops.cast(side, "float32") - width + 1))
        positions = ops.arange(side, dtype="float32")[None, :]
        return ops.logical_and(positions >= start, positions < start + width)


@keras.saving.register_keras_serializable(package="keras_asit")
class NoiseAndShift(_Augmentation):
    """Add noise to each spectrogram and roll it in time, in training only.

    Noise is uniform between 0 and an amplitude which is itself uniform between 0 and its
    maximum. The roll is uniform between `-max_frames` and `max_frames`; frames that leave at
    one end come back at the other. Every clip of a batch has an amplitude and a roll of its own.

    Args:
        amplitude: float. Largest amplitude of noise. Defaults to `0.1`.
        max_frames: int. Largest roll. Defaults to `10`.
        seed: int. Defaults to `None`, a random one.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, frames, mels)`.
    Output shape: the same.

    Example:
    ```python
    noise_and_shift = keras_asit.layers.NoiseAndShift(amplitude=0.1, max_frames=10)
    spectrograms = noise_and_shift(np.ones((2, 128, 128)), training=True)
    ```

    Reference: Gong et al., "AST", arXiv 2104.01778, section 3.2, for keyword spotting.
    """

    def __init__(
        self, amplitude: float = 0.1, max_frames: int = 10, *, seed: int | None = None, **kwargs
    ):
        super().__init__(seed=seed, **kwargs)
        check_number("amplitude", amplitude, 0)
        check_integers(0, max_frames=max_frames)
        self.amplitude = float(amplitude)
        self.max_frames = int(max_frames)

    def augment(self, spectrograms):
        batch, frames, mels = ops.shape(spectrograms)
        amplitudes = self.amplitude * self._uniform((batch, 1, 1))
        noise = amplitudes * self._uniform((batch, frames, mels))
        spectrograms = spectrograms + ops.cast(noise, spectrograms.dtype)
        shifts = ops.floor(self._uniform((batch, 1, 1)) * (2 * self.max_frames + 1))
        shifts = ops.cast(shifts, "int32") - self.max_frames
        sources = ops.mod(ops.arange(frames, dtype="int32")[None, :, None] - shifts, frames)
        return ops.take_along_axis(spectrograms, sources, axis=1)
