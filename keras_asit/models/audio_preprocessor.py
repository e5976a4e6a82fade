"""From waveforms and labels to what a task reads."""

import keras
import keras_hub

from keras_asit._arguments import as_waveforms, assert_waveforms, check_instance, is_symbolic
from keras_asit.models import presets as builtin_presets
from keras_asit.models.audio_converter import ASiTAudioConverter
from keras_asit.models.backbone import ASiTBackbone


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTAudioClassifierPreprocessor(keras_hub.models.Preprocessor):
    """Convert waveforms to the spectrograms of a classifier or an event detector.

    Args:
        audio_converter: an `ASiTAudioConverter`.
        **kwargs: Arguments of `keras_hub.models.Preprocessor`, such as `name`.

    Call arguments:
        x: float waveforms in [-1, 1]: an array of shape `(batch, samples)`, a list of arrays
            of shape `(samples,)`, or a ragged tensor.
        y, sample_weight: labels and weights of the clips, which pass through.
        sample_rate: int. Where given, it must be the converter's. Defaults to `None`.

    Returns:
        Spectrograms of shape `(batch, frames, mels)`; with labels a tuple, as Keras packs it.

    Raises:
        ValueError: if waveforms are of another shape, type or sample rate, or one of them is empty,
            not finite or out of range; the message has its index.

    Example:
    ```python
    converter = keras_asit.models.ASiTAudioConverter(num_frames=96)
    preprocessor = keras_asit.models.ASiTAudioClassifierPreprocessor(converter)
    spectrograms = preprocessor([np.zeros(16000), np.zeros(9000)])  # (2, 96, 128)
    ```
    """

    backbone_cls = ASiTBackbone
    audio_converter_cls = ASiTAudioConverter
    presets = builtin_presets.listed_presets()

    def __init__(self, audio_converter: ASiTAudioConverter, **kwargs):
        super().__init__(**kwargs)
        check_instance("audio_converter", audio_converter, ASiTAudioConverter)
        self.audio_converter = audio_converter

    @classmethod
    def from_preset(cls, preset: str, **kwargs):
        """Make a preprocessor of what `ASiTAudioConverter.from_preset` loads."""
        return cls(ASiTAudioConverter.from_preset(preset, **kwargs))

    @classmethod
    def from_config(cls, config):
        return super().from_config(dict(config))  # KerasHub changes what it is given.

    def call(self, x, y=None, sample_weight=None, sample_rate=None):
        import tensorflow as tf

        expected = self.audio_converter.sample_rate
        if sample_rate not in (None, expected):
            raise ValueError(
                f"Waveforms must be sampled at {expected} Hz; resample them. "
                f"Received: sample_rate={sample_rate!r}"
            )
        x = assert_waveforms(x) if is_symbolic(x) else as_waveforms(x)
        if isinstance(x, tf.RaggedTensor):
            spectrogram = tf.TensorSpec(self.audio_converter.audio_shape(), tf.float32)
            x = tf.map_fn(self.audio_converter, x, fn_output_signature=spectrogram)
        else:
            x = self.audio_converter(x)
        return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
