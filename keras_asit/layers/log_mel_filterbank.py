"""Log-mel filterbank of waveforms, as Kaldi computes it."""

import math
import types

import keras
import numpy as np

from keras_asit._arguments import arguments_of, check_integers

WINDOW_SECONDS = 0.025
SHIFT_SECONDS = 0.01
LOW_FREQUENCY = 20.0
PREEMPHASIS = 0.97
FLOOR = 1.1920929e-07


@keras.saving.register_keras_serializable(package="keras_asit")
class LogMelFilterbank(keras.layers.Layer):
    """Kaldi-compatible log-mel filterbank, the same in a model and in `tf.data`, on any backend.

    The mean of each waveform is removed; frames of 25 ms every 10 ms lie wholly inside the
    waveform (`snip_edges`). Per frame: the mean is removed, pre-emphasis 0.97, symmetric Hann
    window, power spectrum over the next power of two samples, triangular filters equally
    spaced on the mel scale 1127 ln(1 + f / 700) and linear in mel between 20 Hz and the Nyquist
    frequency, natural logarithm with a floor of 1.1920929e-07. No dither. Filters that are
    narrower than one FFT bin may stay at the floor, as in Kaldi.

    Args:
        sample_rate: int. Sample rate of the waveforms in Hz. Defaults to `16000`.
        num_mels: int. Number of mel bins. Defaults to `128`.
        **kwargs: Arguments of `keras.layers.Layer`; always in float32, for half cannot hold it.

    Input shape: `(batch, samples)` or `(samples,)`, in [-1, 1].
    Output shape: `(batch, frames, num_mels)` or `(frames, num_mels)`, with
        `frames = 1 + (samples - window) // shift`, or 0 for less than one window.

    Example:
    ```python
    filterbank = keras_asit.layers.LogMelFilterbank(sample_rate=16000)
    spectrograms = filterbank(np.random.uniform(-1, 1, (2, 16000)))  # (2, 98, 128)
    ```

    Reference: Povey et al., "The Kaldi Speech Recognition Toolkit", ASRU 2011.
    """

    def __init__(self, sample_rate: int = 16000, num_mels: int = 128, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        # At a lower rate, a shift would be no sample long.
        check_integers(math.ceil(1 / SHIFT_SECONDS), sample_rate=sample_rate)
        check_integers(1, num_mels=num_mels)
        # The layer must not turn the tensors of a tf.data pipeline into those of the backend.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.sample_rate = sample_rate
        self.num_mels = num_mels
        self.window = int(sample_rate * WINDOW_SECONDS)
        self.shift = int(sample_rate * SHIFT_SECONDS)
        self.fft_size = 2 ** math.ceil(math.log2(self.window))
        self._taper = np.hanning(self.window).astype("float32")
        self._filter_groups = _group_filters(mel_filters(sample_rate, num_mels, self.fft_size))
        # Set by exports, for runtimes that know no Fourier transform.
        self.transforms_by_matrix = False
        # There are no weights, and Keras quantizes models only of built layers.
        self.built = True

    def num_frames(self, num_samples: int) -> int:
        """Return how many frames a waveform of `num_samples` samples has."""
        return max(0, 1 + (num_samples - self.window) // self.shift)

    def call(self, waveforms):
        _check(waveforms)
        ops = operations_for(waveforms)
        waveforms = ops.convert_to_tensor(waveforms, "float32")
        if len(waveforms.shape) == 1:
            return self._log_mel(ops, waveforms[None])[0]
        return self._log_mel(ops, waveforms)

    def _log_mel(self, ops, waveforms):
        if waveforms.shape[-1] is not None and not self.num_frames(waveforms.shape[-1]):
            # TensorFlow and PyTorch refuse a Fourier transform of no frames.
            return ops.zeros((ops.shape(waveforms)[0], 0, self.num_mels), dtype="float32")
        real, imaginary = self._spectrum(ops, self._frames(ops, waveforms))
        power = real * real + imaginary * imaginary
        groups = self._filter_groups
        energies = [ops.matmul(power[..., first:last], filters) for first, last, filters in groups]
        return ops.log(ops.maximum(ops.concatenate(energies, axis=-1), FLOOR))

    def _spectrum(self, ops, frames):
        if not self.transforms_by_matrix:
            return ops.rfft(frames, fft_length=self.fft_size)
        bins = np.arange(self.fft_size // 2)
        # In whole numbers, for the angles of later samples would lose digits.
        turns = np.outer(np.arange(self.window), bins) % self.fft_size / self.fft_size
        waves = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
        return [ops.matmul(frames, wave.astype("float32")) for wave in waves]

    def _frames(self, ops, waveforms):
        """Return frames without their mean, pre-emphasized and tapered.

        Removing each frame's mean removes the waveform's too. Pre-emphasis is applied to the
        whole waveform before it is cut, which differs only in the first sample of a frame,
        where the taper is zero. From the mean of a pre-emphasized frame follows what the
        frame's own mean adds to each of its samples.
        """
        num_samples = ops.shape(waveforms)[-1]
        num_frames = 1 + (num_samples - self.window) // self.shift
        if waveforms.shape[-1] is None:
            num_frames = ops.maximum(0, num_frames)
        previous = ops.concatenate([waveforms[:, :1], waveforms[:, :-1]], axis=-1)
        frames = self._cut(ops, waveforms - PREEMPHASIS * previous, num_frames)
        first = previous[:, :: self.shift][:, :num_frames]
        last = waveforms[:, self.window - 1 :: self.shift][:, :num_frames]
        offset = ops.mean(frames, axis=-1) - PREEMPHASIS / self.window * (last - first)
        return (frames - ops.expand_dims(offset, -1)) * ops.convert_to_tensor(
            self._taper, "float32"
        )

    def _cut(self, ops, waveforms, num_frames):
        """Cut waveforms into overlapping frames by laying shifted hops side by side."""
        hops = math.ceil(self.window / self.shift)
        padded = ops.pad(waveforms, [[0, 0], [0, hops * self.shift]])
        padded = padded[:, : (num_frames + hops - 1) * self.shift]
        padded = ops.reshape(padded, (-1, num_frames + hops - 1, self.shift))
        rest = self.window - (hops - 1) * self.shift
        parts = [padded[:, hop : hop + num_frames] for hop in range(hops)]
        return ops.concatenate([*parts[:-1], parts[-1][..., :rest]], axis=-1)

    def compute_output_shape(self, input_shape):
        num_samples = input_shape[-1]
        num_frames = None if num_samples is None else self.num_frames(num_samples)
        return (*input_shape[:-1], num_frames, self.num_mels)

    def get_config(self):
        return {**super().get_config(), **arguments_of(LogMelFilterbank, self)}


def mel_filters(sample_rate, num_mels, fft_size):
    """Return triangular filters, linear in mel, as a matrix of (FFT bins without Nyquist, mels)."""

    def mel(frequency):
        return 1127.0 * np.log1p(frequency / 700.0)

    edges = np.linspace(mel(LOW_FREQUENCY), mel(sample_rate / 2), num_mels + 2)
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    bins = mel(np.arange(fft_size // 2) * sample_rate / fft_size)[:, None]
    rising, falling = (bins - left) / (center - left), (right - bins) / (right - center)
    return np.maximum(0.0, np.minimum(rising, falling)).astype("float32")


def _group_filters(filters, num_groups=4):
    """Split filters into groups, each with the few FFT bins that its filters span."""
    groups = []
    for columns in np.array_split(filters, num_groups, axis=1):
        used = np.nonzero(columns.any(axis=1))[0]
        first, last = (used[0], used[-1] + 1) if len(used) else (0, 1)
        groups.append((int(first), int(last), columns[first:last]))
    return groups


def _check(waveforms):
    # Lists have no type, and numbers of Python in them are taken as they are.
    dtype = getattr(waveforms, "dtype", "float")
    shape = tuple(waveforms.shape) if hasattr(waveforms, "shape") else np.shape(waveforms)
    if "float" not in str(dtype) or len(shape) not in (1, 2):
        raise ValueError(
            "Waveforms must be float, in [-1, 1], of shape (batch, samples) or (samples,): divide "
            "16-bit integers by 32768 and mix channels down first. Received: "
            f"shape={shape}, dtype={dtype}"
        )


def operations_for(x):
    """Return the namespace to compute with `x` in: `keras.ops`, or in `tf.data` one that works.

    Keras has no public way to run its operations on TensorFlow's symbolic tensors under another
    backend.
    """
    is_symbolic_tensorflow = type(x).__module__.startswith("tensorflow") and not hasattr(x, "numpy")
    if keras.config.backend() == "tensorflow" or not is_symbolic_tensorflow:
        return keras.ops
    import tensorflow as tf

    def rfft(x, fft_length):
        spectrum = tf.signal.rfft(x, fft_length=[fft_length])
        return tf.math.real(spectrum), tf.math.imag(spectrum)

    return types.SimpleNamespace(
        concatenate=tf.concat,
        convert_to_tensor=tf.cast,
        expand_dims=tf.expand_dims,
        log=tf.math.log,
        matmul=tf.matmul,
        maximum=tf.maximum,
        mean=tf.reduce_mean,
        pad=tf.pad,
        reshape=tf.reshape,
        rfft=rfft,
        shape=tf.shape,
        zeros=tf.zeros,
    )
