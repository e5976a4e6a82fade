"""From waveforms to the normalized spectrograms that ASiT reads."""

import math
from fractions import Fraction

import keras
import keras_hub
import numpy as np

from keras_asit._arguments import (
    arguments_of,
    as_waveform,
    as_waveforms,
    check_clips_shape,
    check_integers,
    check_number,
)
from keras_asit.layers import LogMelFilterbank
from keras_asit.layers.log_mel_filterbank import operations_for
from keras_asit.models import presets as builtin_presets
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.model_card import write_model_card

AUDIOSET_MEAN = -4.2677393
"""Mean of AudioSet's log-mels, as the AST code publishes it."""
AUDIOSET_STANDARD_DEVIATION = 4.5689974
"""Standard deviation of AudioSet's log-mels, from the same place."""

# So much of a long recording is converted at once.
SECONDS_AT_ONCE = 60


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTAudioConverter(keras_hub.layers.AudioConverter):
    """Convert waveforms to normalized log-mel spectrograms of a fixed number of frames.

    The log-mels are cut or padded with zeros at their end to `num_frames`, then normalized as
    (x - mean) / (2 * standard deviation). Works in a model and in `tf.data`, under any backend.

    Args:
        sample_rate: int. Sample rate of the waveforms in Hz. Defaults to `16000`.
        num_frames: int. Frames of a spectrogram, 10 ms each; a call may have its own. Defaults to
            `592`.
        num_mels: int. Mel bins of a spectrogram. Defaults to `128`.
        mean: float. Mean of the log-mels. Defaults to `-4.2677393`, AudioSet's.
        standard_deviation: float. Defaults to `4.5689974`, AudioSet's.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Input shape: `(batch, samples)` or `(samples,)`, in [-1, 1]; or a list of `(samples,)`.
    Output shape: `(batch, num_frames, num_mels)` or `(num_frames, num_mels)`.

    Raises:
        ValueError: for another rank or type; with its index, for a clip of NumPy's arrays that is
            empty, not finite or far out of range.

    Example:
    ```python
    converter = keras_asit.models.ASiTAudioConverter(sample_rate=16000)
    spectrograms = converter(np.random.uniform(-1, 1, (2, 6 * 16000)))  # (2, 592, 128)
    ```

    Reference: Gong et al., "AST", arXiv 2104.01778, section 3.1.
    """

    backbone_cls = ASiTBackbone
    presets = builtin_presets.listed_presets()

    def __init__(
        self,
        sample_rate: int = 16000,
        num_frames: int = 592,
        num_mels: int = 128,
        *,
        mean: float = AUDIOSET_MEAN,
        standard_deviation: float = AUDIOSET_STANDARD_DEVIATION,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_integers(1, num_frames=num_frames)
        check_number("mean", mean)
        check_number("standard_deviation", standard_deviation, 1e-6)
        # Exports find it by this name.
        self.filterbank = LogMelFilterbank(sample_rate, num_mels, name="log_mel_filterbank")
        self.sample_rate = sample_rate
        self.num_frames = num_frames
        self.num_mels = num_mels
        self.mean = mean
        self.standard_deviation = standard_deviation

    @classmethod
    def from_preset(cls, preset: str, **kwargs):
        """Load a converter, as `ASiTBackbone.from_preset` loads a backbone."""
        arguments = builtin_presets.part_of(preset, "converter")
        if arguments is not None:
            return cls(**{**arguments, **kwargs})
        return super().from_preset(builtin_presets.locate(preset), **kwargs)

    def save_to_preset(self, preset_dir: str) -> None:
        """Save to a preset, a folder; the model card there then tells of the sample rate."""
        super().save_to_preset(str(preset_dir))
        write_model_card(preset_dir)

    @property
    def seconds(self) -> float:
        """The shortest duration of a waveform that fills all frames."""
        return self._samples(self.num_frames) / self.sample_rate

    def audio_shape(self) -> tuple[int, int]:
        """Return the shape of one spectrogram, (frames, mels)."""
        return (self.num_frames, self.num_mels)

    def frames_in(self, seconds: float, multiple_of: int = 1) -> int:
        """Return how many frames lie in so many seconds, rounded down to a multiple.

        Example:
        ```python
        keras_asit.models.ASiTAudioConverter().frames_in(6.0, multiple_of=16)  # 592
        ```
        """
        check_number("seconds", seconds, 0)
        check_integers(1, multiple_of=multiple_of)
        num_frames = self.filterbank.num_frames(round(seconds * self.sample_rate))
        return num_frames - num_frames % multiple_of

    def normalize(self, log_mels):
        """Return log-mels of any shape as the network reads them, normalized, in float32."""
        log_mels = operations_for(log_mels).convert_to_tensor(log_mels, "float32")
        return (log_mels - self.mean) / (2 * self.standard_deviation)

    def adapt(self, dataset) -> None:
        """Set `mean` and `standard_deviation` to those of the log-mels of a dataset, in one pass.

        Every frame counts, so give clips in their own length. As with
        `keras.layers.Normalization`, adapt before a model with this layer is compiled, or a
        `tf.data` pipeline built; each call starts afresh.

        Args:
            dataset: a `tf.data.Dataset` or another iterable of waveforms `(samples,)` at
                `sample_rate`, of batches of them, `(batch, samples)` or ragged, or of tuples whose
                first item is one of those, such as `keras_asit.data.audio_dataset` yields.

        Raises:
            ValueError: if no clip fills a frame, or all log-mels are the same.

        Example:
        ```python
        converter = keras_asit.models.ASiTAudioConverter(sample_rate=16000)
        converter.adapt(np.random.uniform(-1, 1, (8, 16000)))
        ```
        """
        import tensorflow as tf

        # One graph for clips of all lengths, which other backends would compile one by one.
        log_mels = tf.function(self.filterbank, [tf.TensorSpec([None], tf.float32)])
        moments = log_mel_moments()
        for number, waveform in enumerate(_clips(dataset)):
            waveform = as_waveform(waveform, f"clip {number} of `dataset`")
            for piece in self._whole_frames(waveform):
                moments += log_mel_moments(log_mels(piece).numpy())
        self.mean, self.standard_deviation = mean_and_standard_deviation(moments)

    def _whole_frames(self, waveform):
        """Cut a long waveform into pieces that together have its frames, each once."""
        shift, window = self.filterbank.shift, self.filterbank.window
        hop = SECONDS_AT_ONCE * self.sample_rate // shift * shift
        for start in range(0, max(0, len(waveform) - window) + 1, hop):
            yield waveform[start : start + hop + window - shift]

    def call(self, waveforms, num_frames: int | None = None):
        num_frames = self._frames(num_frames)
        if isinstance(waveforms, (np.ndarray, list, tuple)):
            is_array = isinstance(waveforms, np.ndarray)
            is_single = np.ndim(waveforms[0]) == 0 if len(waveforms) else is_array
            waveforms = as_waveform(waveforms) if is_single else as_waveforms(waveforms)
        if isinstance(waveforms, list):
            return keras.ops.stack([self.call(waveform, num_frames) for waveform in waveforms])
        if getattr(waveforms, "shape", ()):
            check_clips_shape(waveforms.shape)
            # Frames that would be cut off are not computed.
            waveforms = waveforms[..., : self._samples(num_frames)]
        log_mels = self.filterbank(waveforms)
        ops, axes = operations_for(log_mels), len(log_mels.shape)
        padding = [[0, 0]] * (axes - 2) + [[0, num_frames], [0, 0]]
        fitted = ops.pad(log_mels, padding)[..., :num_frames, :]
        # So that the shape is known inside `tf.data` too.
        shape = (-1, num_frames, self.num_mels)[3 - axes :]
        return self.normalize(ops.reshape(fitted, shape))

    def _samples(self, num_frames):
        return (num_frames - 1) * self.filterbank.shift + self.filterbank.window

    def _frames(self, num_frames):
        check_integers(1, or_none=True, num_frames=num_frames)
        return num_frames or self.num_frames

    def compute_output_spec(self, waveforms, num_frames=None):
        shape = (*waveforms.shape[:-1], self._frames(num_frames), self.num_mels)
        return keras.KerasTensor(shape, "float32")

    def get_config(self):
        return {**super().get_config(), **arguments_of(ASiTAudioConverter, self)}


def _clips(dataset):
    """Yield the single waveforms of a dataset."""
    for element in dataset:
        waveforms = element[0] if isinstance(element, (tuple, list)) else element
        if len(getattr(waveforms, "shape", ())) == 2:
            yield from waveforms
        else:
            yield waveforms


def log_mel_moments(log_mels=()):
    """Return count, sum and sum of squares of log-mels: fractions, whose sums are exact."""
    values = np.asarray(log_mels, "float64")
    return np.array([Fraction(x) for x in (values.size, values.sum(), np.square(values).sum())])


def mean_and_standard_deviation(moments):
    """Return two floats, or raise `ValueError` if there are no log-mels or all are the same."""
    count, total, total_of_squares = moments
    if not count:
        raise ValueError(
            "Statistics need at least one clip of 25 ms or longer. Received: no frames"
        )
    mean = total / count
    variance = total_of_squares / count - mean**2
    # Squares in double precision leave this much of a constant.
    if variance < 1e-10 * max(1, mean**2):
        raise ValueError(
            "Statistics need sound that changes; that of a constant, such as silence, have no "
            f"standard deviation. Received: log-mels which all are {float(mean):g}"
        )
    return float(mean), math.sqrt(variance)
