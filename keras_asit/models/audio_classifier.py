"""ASiT with a linear head: event classification, keyword spotting, speaker identification."""

import keras
import keras_hub

from keras_asit._arguments import check_known, check_number, check_positive_integer, is_symbolic
from keras_asit.layers import TokenPooling
from keras_asit.models import presets as builtin_presets
from keras_asit.models.audio_converter import ASiTAudioConverter
from keras_asit.models.audio_preprocessor import ASiTAudioClassifierPreprocessor
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.classifier_inputs import (
    as_dataset,
    as_labels,
    as_spectrogram_input,
    as_waveform_input,
    assert_batch,
    assert_labels,
    check_dataset_alone,
    is_array,
    split_clips,
)
from keras_asit.models.saving import SavedWhole
from keras_asit.optimizers import AdamW


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTAudioClassifier(SavedWhole, keras_hub.models.Task):
    """Classify clips: one of several classes, or any number of them.

    The backbone's tokens are pooled to one vector, which a linear layer classifies. `fit`,
    `evaluate` and `predict` take raw waveforms, as an array or as a list of clips of different
    lengths, or a batched `tf.data.Dataset` of them (dense or ragged). Labels are class indices
    or, with `class_names`, names; with `multi_label`, an array of zeros and ones.

    Args:
        backbone: an `ASiTBackbone`.
        num_classes: int. Number of classes.
        preprocessor: an `ASiTAudioClassifierPreprocessor`. Defaults to `None`: inputs are
            spectrograms, normalized as `ASiTAudioConverter` does.
        class_names: list of strs, the classes in their order. Defaults to `None`.
        multi_label: bool. Whether a clip can have several labels, or none. Sets the defaults
            of `compile` and which labels are accepted. Defaults to `False`.
        pooling: str. `"cls"`, `"mean"` or `"cls_and_mean"`; see `TokenPooling`. Defaults to
            `"cls"`.
        dropout: float in [0, 1). Dropout of the pooled vector. Defaults to `0.0`.
        activation: str or callable. Defaults to `None`: outputs are logits.
        augmentation: `keras.layers.Layer` applied to spectrograms in training, such as
            `keras_asit.layers.SpecAugment`. Defaults to `None`.
        head_dtype: str or `keras.DTypePolicy`. Defaults to `None`, the backbone's.
        **kwargs: Arguments of `keras_hub.models.Task`, such as `name` and `compile`.

    Example:

    ```python
    waveforms = [np.random.uniform(-1, 1, 16000), np.random.uniform(-1, 1, 9000)]
    classifier = keras_asit.models.ASiTAudioClassifier.from_preset(
        "asit_tiny_16k", num_classes=2, class_names=["cat", "dog"], spectrogram_shape=(96, 128)
    )
    classifier.fit(waveforms, ["cat", "dog"], batch_size=2)
    logits = classifier.predict(waveforms)  # (2, 2)
    ```

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, section 2.1.
    """

    backbone_cls = ASiTBackbone
    preprocessor_cls = ASiTAudioClassifierPreprocessor
    presets = builtin_presets.listed_presets()

    def __init__(
        self,
        backbone,
        num_classes,
        preprocessor=None,
        *,
        class_names=None,
        multi_label=False,
        pooling="cls",
        dropout=0.0,
        activation=None,
        augmentation=None,
        head_dtype=None,
        **kwargs,
    ):
        _check_backbone(backbone, preprocessor)
        check_positive_integer("num_classes", num_classes)
        check_number("dropout", dropout, 0, 0.999)
        _check_class_names(class_names, num_classes)
        check_known("ASiTAudioClassifier", kwargs, ("name", "trainable", "compile"))
        num_classes = int(num_classes)
        head_dtype = head_dtype or backbone.dtype_policy
        plain_dtype = _without_quantization(head_dtype)

        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.augmentation = augmentation
        self.pooler = TokenPooling(pooling, dtype=plain_dtype, name="pooler")
        self.output_dropout = keras.layers.Dropout(
            dropout, dtype=plain_dtype, name="output_dropout"
        )
        self.output_dense = keras.layers.Dense(
            num_classes,
            activation=activation,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=head_dtype,
            name="predictions",
        )

        # === Functional Model ===
        inputs = keras.Input(backbone.spectrogram_shape, name="spectrograms")
        tokens = backbone(inputs if augmentation is None else augmentation(inputs))
        outputs = self.output_dense(self.output_dropout(self.pooler(tokens)))
        # `compile` reads these.
        self.num_classes = num_classes
        self.multi_label = multi_label
        self.activation = activation
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.class_names = None if class_names is None else list(class_names)
        self.pooling = pooling
        self.dropout = dropout

    @classmethod
    def from_preset(
        cls,
        preset,
        load_weights=True,
        *,
        spectrogram_shape=None,
        patch_stride=None,
        drop_path_rate=None,
        **kwargs,
    ):
        """Load a classifier, or start one from a pre-trained backbone.

        `spectrogram_shape`, `patch_stride` and `drop_path_rate` change the backbone. They need
        `num_classes`, and then take nothing of a classifier's preset but backbone and converter.

        Args:
            preset: str. One of `ASiTAudioClassifier.presets`, a folder that `save_to_preset`
                wrote for a backbone and its converter or for a classifier, or a `hf://` or
                `kaggle://` handle.
            load_weights: bool. Whether to load weights, or to start at random. Defaults to
                `True`.
            spectrogram_shape: pair of ints, (frames, mels). Another shape than the preset's;
                positions are interpolated. Defaults to `None`.
            patch_stride: int or pair of ints. Another one than the preset's; positions are
                interpolated. Defaults to `None`.
            drop_path_rate: float in [0, 1). Stochastic depth in fine-tuning. Defaults to `None`,
                the preset's.
            **kwargs: Constructor arguments. `num_classes` is needed unless the preset is a
                classifier's; given, the head starts at random, and without `class_names` has
                none.

        Returns:
            An `ASiTAudioClassifier`.

        Raises:
            ValueError: if `num_classes` is missing, or the preset has no converter and no
                `preprocessor` is given.

        Example:

        ```python
        classifier = keras_asit.models.ASiTAudioClassifier.from_preset(
            "asit_tiny_16k", num_classes=50, spectrogram_shape=(496, 128)
        )
        ```
        """
        changes = {
            "spectrogram_shape": spectrogram_shape,
            "patch_stride": patch_stride,
            "drop_path_rate": drop_path_rate,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        if preset in builtin_presets.PRESETS or changes:
            load = cls._start_from_backbone
            if "num_classes" not in kwargs:
                raise ValueError(
                    "`num_classes` must be given for a built-in preset, and where the backbone is "
                    f"changed. Received: preset={preset!r}, {changes or 'no changes'}"
                )
        else:
            load = cls._load_task
        try:
            return load(preset, load_weights, **changes, **kwargs)
        except FileNotFoundError as error:
            if "audio_converter.json" not in str(error):
                raise
            raise ValueError(
                f"The preset {preset!r} has no `ASiTAudioConverter`. Save one there, with "
                "`converter.save_to_preset`, or give `preprocessor`: one with a converter, or "
                "None for a classifier of spectrograms."
            ) from error

    @classmethod
    def _load_task(cls, preset, load_weights, **kwargs):
        if "num_classes" in kwargs:
            kwargs = {"class_names": None, **kwargs}
        if "dtype" in kwargs:
            kwargs = {"head_dtype": kwargs["dtype"], **kwargs}
        try:
            return super().from_preset(preset, load_weights=load_weights, **kwargs)
        except TypeError as error:
            if "num_classes" in kwargs or "'num_classes'" not in str(error):
                raise
            raise ValueError(
                "`num_classes` must be given for the preset of a backbone. Received: "
                f"preset={preset!r}"
            ) from error

    @classmethod
    def _start_from_backbone(cls, preset, load_weights, **kwargs):
        names = ("spectrogram_shape", "patch_stride", "drop_path_rate", "dtype")
        changes = {name: kwargs.pop(name) for name in names if name in kwargs}
        backbone = ASiTBackbone.from_preset(preset, load_weights=load_weights, **changes)
        if "preprocessor" not in kwargs:
            frames, mels = backbone.spectrogram_shape
            converter = ASiTAudioConverter.from_preset(preset, num_frames=frames, num_mels=mels)
            kwargs["preprocessor"] = ASiTAudioClassifierPreprocessor(converter)
        return cls(backbone, **kwargs)

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        """Configure training.

        Args:
            optimizer: As in `keras.Model.compile`. Defaults to `"auto"`: `AdamW` with a
                learning rate of 5e-5.
            loss: As in `keras.Model.compile`. Defaults to `"auto"`: cross-entropy of class
                indices, or with `multi_label` the binary one.
            metrics: As in `keras.Model.compile`. Defaults to `"auto"`: accuracy, or with
                `multi_label` the area under the precision-recall curve (`keras.metrics.AUC`).
            **kwargs: Other arguments of `keras.Model.compile`.
        """
        if optimizer == "auto":
            optimizer = AdamW(5e-5)
        activation = keras.activations.get(self.activation)
        from_logits = activation not in (keras.activations.softmax, keras.activations.sigmoid)
        if loss == "auto" and self.multi_label:
            loss = keras.losses.BinaryCrossentropy(from_logits)
        elif loss == "auto":
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits)
        if metrics == "auto" and self.multi_label:
            metrics = [
                keras.metrics.AUC(
                    curve="PR",
                    multi_label=True,
                    num_labels=self.num_classes,
                    from_logits=from_logits,
                    name="auc_pr",
                )
            ]
        elif metrics == "auto":
            metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        sample_weight=None,
        validation_data=None,
        validation_split=0.0,
        validation_batch_size=None,
        shuffle=True,
        **kwargs,
    ):
        """Train; see `keras.Model.fit`. Inputs and labels are as the class describes.

        Unlike KerasHub's tasks, arrays are shuffled in each epoch, as `keras.Model` does.
        """
        if validation_split and validation_data is None:
            check_number("validation_split", validation_split, 0, 0.999)
            parts = split_clips(x, y, sample_weight, 1 - validation_split)
            (x, y, sample_weight), validation_data = parts
        if isinstance(validation_data, (list, tuple)):
            parts = keras.utils.unpack_x_y_sample_weight(tuple(validation_data))
            validation_data = self._as_dataset(*parts, validation_batch_size or batch_size)
        dataset = self._as_dataset(x, y, sample_weight, batch_size, shuffle)
        return super().fit(dataset, validation_data=validation_data, shuffle=False, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, sample_weight=None, **kwargs):
        """Evaluate; see `keras.Model.evaluate`."""
        # Keras evaluates validation data of `fit`, which is a dataset already, in this way too.
        return super().evaluate(self._as_dataset(x, y, sample_weight, batch_size), **kwargs)

    def predict(self, x=None, batch_size=None, **kwargs):
        """Predict outputs of shape `(clips, num_classes)`; see `keras.Model.predict`."""
        return super().predict(self._as_dataset(x, batch_size=batch_size), **kwargs)

    def preprocess_samples(self, x, y=None, sample_weight=None):
        if is_symbolic(x):
            x = assert_batch(x, self.preprocessor is not None)
        return super().preprocess_samples(x, self._check_labels(y), sample_weight)

    def probability_model(self):
        """Return a `keras.Model` from spectrograms to probabilities; it shares all weights."""
        activation = keras.activations.get(self.activation)
        if activation in (keras.activations.softmax, keras.activations.sigmoid):
            return keras.Model(self.input, self.output)
        function = "sigmoid" if self.multi_label else "softmax"
        layer = keras.layers.Activation(function, dtype="float32", name="probabilities")
        return keras.Model(self.input, layer(self.output))

    def _as_dataset(self, x, y=None, sample_weight=None, batch_size=None, shuffle=False):
        """Return batches of arrays, after checks whose errors name the clip."""
        if not is_array(x):
            check_dataset_alone(x, y, sample_weight, batch_size)
            return x
        shape = None if self.preprocessor is not None else self.backbone.spectrogram_shape
        x = as_waveform_input(x) if shape is None else as_spectrogram_input(x, shape)
        return as_dataset(x, self._check_labels(y), sample_weight, batch_size, shuffle)

    def _check_labels(self, y):
        if y is None:
            return None
        check = assert_labels if is_symbolic(y) else as_labels
        labels = check(y, self.num_classes, self.class_names, self.multi_label)
        sparse = keras.losses.SparseCategoricalCrossentropy
        if isinstance(self.loss, sparse) and len(labels.shape) == 2 and labels.shape[1] > 1:
            raise ValueError(
                "Labels are shares of classes, as one-hot ones are, but the loss takes class "
                "indices. Give those, or compile with `loss=keras.losses."
                "CategoricalCrossentropy(from_logits=True)` and metrics to match. Received: "
                f"labels of shape {tuple(labels.shape)}"
            )
        if isinstance(self.loss, keras.losses.CategoricalCrossentropy) and len(labels.shape) == 1:
            raise ValueError(
                "Labels are class indices, but the loss takes shares of classes, as one-hot labels "
                'are. Give those (`keras.ops.one_hot`), or compile with `loss="auto"`. Received: '
                f"labels of shape {tuple(labels.shape)}"
            )
        return labels

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "class_names": self.class_names,
            "multi_label": self.multi_label,
            "pooling": self.pooling,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(keras.activations.get(self.activation)),
            "augmentation": keras.saving.serialize_keras_object(self.augmentation),
            "head_dtype": keras.dtype_policies.serialize(self.output_dense.dtype_policy),
        }

    @classmethod
    def from_config(cls, config):
        objects = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("augmentation", "head_dtype")
            # What is given to `from_preset` is an object already.
            if isinstance(config[name], dict)
        }
        return super().from_config({**config, **objects})


def _without_quantization(dtype):
    """Return the policy of layers that have no weights to quantize."""
    policy = keras.dtype_policies.get(dtype)
    if getattr(policy, "quantization_mode", None) is None:
        return policy
    return keras.dtype_policies.get(policy.name.split("_from_")[1])


def _check_backbone(backbone, preprocessor):
    if not isinstance(backbone, ASiTBackbone):
        raise ValueError(f"`backbone` must be an ASiTBackbone. Received: {type(backbone).__name__}")
    if not isinstance(preprocessor, (type(None), ASiTAudioClassifierPreprocessor)):
        raise ValueError(
            "`preprocessor` must be an ASiTAudioClassifierPreprocessor or None. Received: "
            f"{type(preprocessor).__name__}"
        )
    if preprocessor is not None:
        shape = preprocessor.audio_converter.audio_shape()
        if shape != backbone.spectrogram_shape:
            raise ValueError(
                f"The backbone reads spectrograms of {backbone.spectrogram_shape} (frames, mels), "
                f"but the preprocessor makes {shape}. Load the one or the other with another "
                "`spectrogram_shape` or `num_frames`."
            )


def _check_class_names(class_names, num_classes):
    if class_names is None:
        return
    names = list(class_names)
    if len(names) != num_classes or len(set(names)) != len(names):
        raise ValueError(
            f"`class_names` must be {num_classes} different names (`num_classes`). Received: "
            f"{len(names)}, {len(set(names))} of them different"
        )
