"""Sound events in time: frame-level scores from ASiT's tokens."""

import math
import numbers
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_asit._arguments import check_integers, check_known
from keras_asit.layers.log_mel_filterbank import SHIFT_SECONDS, WINDOW_SECONDS
from keras_asit.layers.pooling import NUM_STEPS, step_shares
from keras_asit.models.audio_preprocessor import ASiTAudioClassifierPreprocessor
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.inputs import as_shares
from keras_asit.models.task import ASiTTask, as_class_names, check_task
from keras_asit.optimizers import AdamW


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTEventDetector(ASiTTask):
    """Score classes of sound events over time, and classes of whole clips.

    The tokens of the backbone, [CLS] included, in their order, are pooled to a fixed number of
    steps (averages; linear interpolation where there are fewer tokens). One linear layer scores
    each step ("strong" labels), another the average of all steps ("weak" labels). These are the
    heads of the weights published with PretrainedSED: the preset
    `"asit_base_16k_audioset_strong"` has them, the second one untrained. The one that was trained
    on labels of clips is in `"asit_base_16k_audioset_weak"`, an `ASiTAudioClassifier`.

    `fit`, `evaluate` and `predict` take waveforms as `ASiTAudioClassifier` does. Labels are a
    dict of either or both of `"strong"` and `"weak"`, shaped as the output, from 0 to 1.

    Args:
        backbone: an `ASiTBackbone`. Its `spectrogram_shape` is that of a window; published
            weights are for 998 frames, 10 seconds.
        num_strong_classes: int. Number of classes scored at each step.
        preprocessor: as in `ASiTAudioClassifier`.
        num_weak_classes: int. Number of classes scored once a clip. Defaults to `None`, as
            many as `num_strong_classes`.
        class_names: list of strs, the classes scored at each step, in their order. Defaults to
            `None`.
        num_steps: int. Number of steps of a window. Defaults to `250`, 40 ms each in 10 seconds.
        thresholds: list of floats in [0, 1], one a class, that scores of events exceed. Defaults
            to `None`: 0.5.
        median_steps: list of odd ints, one a class, the lengths of median filters over time.
            Defaults to `None`: no filters. Neither changes an output: both are kept for
            `keras_asit.events.find_events`, as `keras_asit.evaluation.choose_thresholds` gives
            them.
        head_dtype: str or `keras.DTypePolicy`, of both heads. Defaults to `None`, the backbone's.
        **kwargs: Arguments of `keras_hub.models.Task`: `name`, `trainable` and `compile`.

    Output shape:
        A dict of logits: `"strong"`, `(batch, num_steps, num_strong_classes)`, and `"weak"`,
        `(batch, num_weak_classes)`.

    Example:
    ```python
    detector = keras_asit.models.ASiTEventDetector.from_preset(
        "asit_tiny_16k", num_strong_classes=7, spectrogram_shape=(998, 128)
    )
    logits = detector.predict(np.random.uniform(-1, 1, (2, 160000)))["strong"]  # (2, 250, 7)
    ```

    Reference: Schmid et al., "Effective Pre-Training of Audio Transformers for Sound Event
    Detection", arXiv 2409.09546, equations 1 to 3.
    """

    size_argument = "num_strong_classes"

    def __init__(
        self,
        backbone: ASiTBackbone,
        num_strong_classes: int,
        preprocessor: ASiTAudioClassifierPreprocessor | None = None,
        *,
        num_weak_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        num_steps: int = NUM_STEPS,
        thresholds: Sequence[float] | None = None,
        median_steps: Sequence[int] | None = None,
        head_dtype: str | keras.DTypePolicy | None = None,
        **kwargs,
    ):
        check_task(backbone, preprocessor)
        num_weak_classes = num_strong_classes if num_weak_classes is None else num_weak_classes
        sizes = {"num_strong_classes": num_strong_classes, "num_weak_classes": num_weak_classes}
        check_integers(1, **sizes, num_steps=num_steps)
        class_names = as_class_names(class_names, num_strong_classes, "num_strong_classes")
        check_known("ASiTEventDetector", kwargs, ("name", "trainable", "compile"))
        head_dtype = head_dtype or backbone.dtype_policy

        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        dense = keras.layers.Dense
        self.strong_head = dense(num_strong_classes, dtype=head_dtype, name="strong_head")
        self.weak_head = dense(num_weak_classes, dtype=head_dtype, name="weak_head")

        # === Functional Model ===
        inputs = backbone.input
        tokens = backbone(inputs)
        # An array: exports would take a tensor of the backend for one more input.
        shares = step_shares(tokens.shape[1], num_steps).astype(tokens.dtype)
        steps = ops.matmul(shares, tokens)
        outputs = {
            "strong": self.strong_head(steps),
            "weak": self.weak_head(ops.mean(steps, axis=1)),
        }
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.num_strong_classes = num_strong_classes
        self.num_weak_classes = num_weak_classes
        self.class_names = class_names
        self.num_steps = num_steps
        self.keep_thresholds(
            0.5 if thresholds is None else thresholds, 1 if median_steps is None else median_steps
        )

    def keep_thresholds(
        self, thresholds: float | Sequence[float], median_steps: int | Sequence[int]
    ):
        """Keep thresholds and lengths of filters, one each for all classes or one a class."""
        self.thresholds = as_thresholds(thresholds, self.num_strong_classes)
        self.median_steps = as_median_steps(median_steps, self.num_strong_classes)

    @property
    def head_dtype(self) -> keras.DTypePolicy:
        return self.strong_head.dtype_policy

    @property
    def window_seconds(self) -> float:
        """The duration of a window, up to the end of its last frame, in whole shifts."""
        shifts_of_last = math.ceil(WINDOW_SECONDS / SHIFT_SECONDS)
        return (self.backbone.spectrogram_shape[0] - 1 + shifts_of_last) * SHIFT_SECONDS

    def compile(self, optimizer="auto", loss="auto", **kwargs):
        """Configure training, as `keras.Model.compile` does.

        Args:
            optimizer: Defaults to `"auto"`: `AdamW` with a learning rate of 5e-5.
            loss: Defaults to `"auto"`: binary cross-entropy of both outputs.
        """
        if optimizer == "auto":
            optimizer = AdamW(5e-5)
        if loss == "auto":
            cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
            loss = {"strong": cross_entropy, "weak": cross_entropy}
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def check_labels(self, y):
        """Return labels as the loss takes them: arrays from 0 to 1, shaped as the outputs."""
        shapes = {
            "strong": (self.num_steps, self.num_strong_classes),
            "weak": (self.num_weak_classes,),
        }
        if not isinstance(y, dict) or not y or y.keys() - shapes.keys():
            raise ValueError(
                'Labels must be a dict of "strong" or "weak" ones, or both. Received: '
                f"{list(y) if isinstance(y, dict) else type(y).__name__}"
            )
        if isinstance(self.loss, dict) and self.loss.keys() != y.keys():
            raise ValueError(
                f"Labels are of {sorted(y)}, but the loss is of {sorted(self.loss)}. Give both, or "
                "compile with `loss={name: ...}` for those that there are."
            )
        return {name: as_shares(labels, shapes[name]) for name, labels in y.items()}


def as_thresholds(thresholds, number):
    """Return thresholds of events, one for all classes or one a class, as a list of the latter."""
    return _one_a_class(thresholds, number, "threshold", "numbers from 0 to 1", _is_share)


def as_median_steps(median_steps, number):
    """Return lengths of median filters, one for all classes or one a class, as such a list."""
    return _one_a_class(median_steps, number, "median_steps", "odd positive integers", _is_odd)


def _one_a_class(values, number, name, accepted, is_accepted):
    each = [values] * number if np.ndim(values) == 0 else list(values)
    if len(each) != number or not all(map(is_accepted, each)):
        raise ValueError(
            f"`{name}` must be {accepted}, one for all or each of {number} classes. Received: "
            f"{name}={values!r}"
        )
    return [value.item() if hasattr(value, "item") else value for value in each]


def _is_share(value):
    return isinstance(value, numbers.Real) and 0 <= value <= 1


def _is_odd(value):
    return isinstance(value, numbers.Integral) and value > 0 and value % 2 == 1
