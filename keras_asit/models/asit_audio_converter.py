"""From waveforms to the normalised spectrograms that ASiT reads."""

import keras
import keras_hub

from keras_asit.arguments import check_number, check_positive_integer
from keras_asit.layers import LogMelFilterbank
from keras_asit.layers.graph_operations import operations_for
from keras_asit.models import builtin_presets
from keras_asit.models.asit_backbone import ASiTBackbone

AUDIOSET_MEAN = -4.2677393
AUDIOSET_STANDARD_DEVIATION = 4.5689974


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTAudioConverter(keras_hub.layers.AudioConverter):
    """Convert waveforms to normalised log-mel spectrograms of a fixed number of frames.

    The log-mel filterbank is cut or padded with zeros at its end to `num_frames`, then
    normalised as (x - mean) / (2 * standard deviation). Works eagerly, inside a model and
    inside `tf.data`, under any backend.

    Args:
        sample_rate: int. Sample rate of the waveforms in Hz. Defaults to `16000`.
        num_frames: int. Frames of a spectrogram, 10 ms each. Defaults to `592`.
        num_mels: int. Mel bins of a spectrogram. Defaults to `128`.
        mean: float. Mean of the log-mels. Defaults to `-4.2677393`, AudioSet's.
        standard_deviation: float. Defaults to `4.5689974`, AudioSet's.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        waveforms: tensor of the shape below.
        num_frames: int. Overrides the constructor's for this call. Defaults to `None`.

    Input shape:
        `(batch, samples)` or `(samples,)`, in [-1, 1].

    Output shape:
        `(batch, num_frames, num_mels)` or `(num_frames, num_mels)`.

    Example:

    ```python
    converter = keras_asit.models.ASiTAudioConverter(sample_rate=16000)
    spectrograms = converter(np.random.uniform(-1, 1, (2, 6 * 16000)))  # (2, 592, 128)
    ```

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, section 3.1.
    """

    backbone_cls = ASiTBackbone
    presets = builtin_presets.listed_presets()

    def __init__(
        self,
        sample_rate=16000,
        num_frames=592,
        num_mels=128,
        mean=AUDIOSET_MEAN,
        standard_deviation=AUDIOSET_STANDARD_DEVIATION,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_positive_integer("num_frames", num_frames)
        check_number("mean", mean)
        check_number("standard_deviation", standard_deviation, 1e-6)
        self.filterbank = LogMelFilterbank(sample_rate, num_mels)
        self.sample_rate = sample_rate
        self.num_frames = num_frames
        self.num_mels = num_mels
        self.mean = mean
        self.standard_deviation = standard_deviation

    @classmethod
    def from_preset(cls, preset, **kwargs):
        """Load a converter from a preset; see `ASiTBackbone.from_preset`.

        Args:
            preset: str. The name of a built-in preset, a folder, or a handle.
            **kwargs: Constructor arguments that replace the preset's.

        Returns:
            An `ASiTAudioConverter`.
        """
        if preset in builtin_presets.PRESETS:
            return cls(**{**builtin_presets.PRESETS[preset]["converter"], **kwargs})
        return super().from_preset(preset, **kwargs)

    def audio_shape(self):
        """Return the shape of one spectrogram, (frames, mels)."""
        return (self.num_frames, self.num_mels)

    def call(self, waveforms, num_frames=None):
        log_mels = self.filterbank(waveforms)
        log_mels = self._fit_length(log_mels, num_frames or self.num_frames)
        return (log_mels - self.mean) / (2 * self.standard_deviation)

    def _fit_length(self, log_mels, num_frames):
        ops = operations_for(log_mels)
        axes = len(log_mels.shape)
        padding = [[0, 0]] * (axes - 2) + [[0, num_frames], [0, 0]]
        fitted = ops.pad(log_mels, padding)[..., :num_frames, :]
        return ops.reshape(fitted, (-1, num_frames, self.num_mels)[3 - axes :])

    def compute_output_spec(self, waveforms, num_frames=None):
        shape = (*waveforms.shape[:-1], num_frames or self.num_frames, self.num_mels)
        return keras.KerasTensor(shape, "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "num_frames": self.num_frames,
            "num_mels": self.num_mels,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
        }
