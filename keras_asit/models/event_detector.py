"""Sound events in time: frame-level scores from ASiT's tokens."""

import keras
import numpy as np
from keras import ops

from keras_asit._arguments import check_known, check_positive_integer
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.saving import SavedWhole


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTEventDetector(SavedWhole, keras.Model):
    """Score classes of sound events over time, and classes of whole clips.

    The tokens of the backbone, [CLS] included, in their order, are pooled to a fixed number of
    steps (averages; linear interpolation where there are fewer tokens). One linear layer scores
    each step ("strong" labels), another the average of all steps ("weak" labels). These are the
    heads of the weights published with PretrainedSED, which
    `keras_asit.conversion.load_event_detector` loads.

    Args:
        backbone: an `ASiTBackbone`. Its `spectrogram_shape` is that of a window; published
            weights are for 998 frames, 10 seconds.
        num_strong_classes: int. Number of classes scored at each step.
        num_weak_classes: int. Number of classes scored once a clip. Defaults to `None`, as
            many as `num_strong_classes`.
        num_steps: int. Number of steps of a window. Defaults to `250`, 40 ms each in 10 seconds.
        head_dtype: str or `keras.DTypePolicy`, of both heads. Defaults to `None`, the backbone's.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Input shape:
        `(batch, frames, mels)`, normalized as `ASiTAudioConverter` does.

    Output shape:
        A dict of logits: `"strong"`, `(batch, num_steps, num_strong_classes)`, and `"weak"`,
        `(batch, num_weak_classes)`.

    Example:

    ```python
    backbone = keras_asit.models.ASiTBackbone(
        (998, 128), num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
    )
    detector = keras_asit.models.ASiTEventDetector(backbone, num_strong_classes=7)
    logits = detector(np.random.normal(size=(2, 998, 128)))["strong"]  # (2, 250, 7)
    ```

    Reference: Schmid et al., "Effective Pre-Training of Audio Transformers for Sound Event
    Detection", arXiv 2409.09546, equations 1 to 3.
    """

    def __init__(
        self,
        backbone,
        num_strong_classes,
        *,
        num_weak_classes=None,
        num_steps=250,
        head_dtype=None,
        **kwargs,
    ):
        if not isinstance(backbone, ASiTBackbone):
            raise ValueError(
                f"`backbone` must be an ASiTBackbone. Received: {type(backbone).__name__}"
            )
        num_weak_classes = num_strong_classes if num_weak_classes is None else num_weak_classes
        check_positive_integer("num_strong_classes", num_strong_classes)
        check_positive_integer("num_weak_classes", num_weak_classes)
        check_positive_integer("num_steps", num_steps)
        check_known("ASiTEventDetector", kwargs, ("name", "trainable"))
        head_dtype = backbone.dtype_policy if head_dtype is None else head_dtype

        # === Layers ===
        strong_head = keras.layers.Dense(num_strong_classes, dtype=head_dtype, name="strong_head")
        weak_head = keras.layers.Dense(num_weak_classes, dtype=head_dtype, name="weak_head")

        # === Functional Model ===
        inputs = backbone.input
        steps = _pool_tokens(backbone(inputs), num_steps)
        outputs = {"strong": strong_head(steps), "weak": weak_head(ops.mean(steps, axis=1))}
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.strong_head = strong_head
        self.weak_head = weak_head
        self.num_strong_classes = num_strong_classes
        self.num_weak_classes = num_weak_classes
        self.num_steps = num_steps

    @property
    def window_seconds(self):
        """The duration of a window: one 10-ms shift a frame, and the 20 ms after the last."""
        return (self.backbone.spectrogram_shape[0] + 2) / 100

    def get_config(self):
        return {
            "name": self.name,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "num_strong_classes": self.num_strong_classes,
            "num_weak_classes": self.num_weak_classes,
            "num_steps": self.num_steps,
            "head_dtype": keras.dtype_policies.serialize(self.strong_head.dtype_policy),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        head_dtype = keras.dtype_policies.deserialize(
            config["head_dtype"], custom_objects=custom_objects
        )
        return cls(**{**config, "backbone": backbone, "head_dtype": head_dtype})


def _pool_tokens(tokens, num_steps):
    num_tokens = tokens.shape[1]
    if num_tokens == num_steps:
        return tokens
    pool = _averages if num_tokens > num_steps else _interpolation
    matrix = ops.cast(pool(num_tokens, num_steps), tokens.dtype)
    return ops.einsum("st,btd->bsd", matrix, tokens)


def _averages(num_tokens, num_steps):
    """Weights of the tokens that each step touches, as PyTorch's `adaptive_avg_pool1d`."""
    steps = np.arange(num_steps)[:, None]
    starts = steps * num_tokens // num_steps
    stops = -(-(steps + 1) * num_tokens // num_steps)
    tokens = np.arange(num_tokens)[None, :]
    touched = np.logical_and(tokens >= starts, tokens < stops)
    return touched / touched.sum(axis=1, keepdims=True)


def _interpolation(num_tokens, num_steps):
    """Weights of linear interpolation, pixel centers aligned, ends repeated."""
    centers = (np.arange(num_steps) + 0.5) * num_tokens / num_steps - 0.5
    centers = np.clip(centers, 0, num_tokens - 1)[:, None]
    return np.maximum(0, 1 - np.abs(centers - np.arange(num_tokens)[None, :]))
