"""Noise and a shift in time, in training only."""

import keras
from keras import ops

from keras_asit.arguments import as_seed, check_integer_from_zero, check_number, check_shape


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
