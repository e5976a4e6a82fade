"""ASiT with a linear head: event classification, keyword spotting, speaker identification."""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_asit._arguments import (
    check_instance,
    check_integers,
    check_known,
    check_number,
    is_symbolic,
    name_some,
)
from keras_asit.layers import TokenPooling
from keras_asit.layers.mlp import dense
from keras_asit.models.audio_preprocessor import ASiTAudioClassifierPreprocessor
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.inputs import (
    as_indices,
    as_indices_of_ones,
    as_label_array,
    as_shares,
)
from keras_asit.models.task import ASiTTask, as_class_names, check_task
from keras_asit.optimizers import AdamW


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTAudioClassifier(ASiTTask):
    """Classify clips: one of several classes, or any number of them.

    A linear layer classifies the pooled tokens. `fit`, `evaluate` and `predict` take waveforms: an
    array, a list of clips of different lengths, or batches of them: a `tf.data.Dataset` (dense or
    ragged), a `keras.utils.PyDataset` or a generator. Channels are mixed down. Labels are class
    indices, a column a class with a one, or, with `class_names`, names; with `multi_label`, or of
    one class, zeros and ones. `keras_asit.evaluation.label_recordings` names the classes of whole
    recordings.

    The preset `"asit_base_16k_audioset_weak"` is a classifier of AudioSet's 527 classes, whose
    published head has the names in the order of AudioSet's own file.

    Args:
        backbone: an `ASiTBackbone`.
        num_classes: int. One class is there or not, a yes or no with one output.
        preprocessor: an `ASiTAudioClassifierPreprocessor`. Defaults to `None`: inputs are
            spectrograms, normalized as `ASiTAudioConverter` does.
        class_names: list of strs, the classes in their order. Defaults to `None`.
        multi_label: bool. Whether a clip can have several labels, or none. Sets the defaults
            of `compile` and which labels are accepted. Defaults to `False`.
        pooling: str, as in `keras_asit.layers.TokenPooling`; of mel rows, over the frames that
            have sound. Defaults to `"cls"`.
        dropout: float in [0, 1). Dropout of the pooled vector. Defaults to `0.0`.
        activation: str or callable, of the outputs. Defaults to `None`: they are logits.
        augmentation: `keras.layers.Layer` applied to spectrograms in training, such as
            `keras_asit.layers.SpecAugment`. Defaults to `None`.
        head_dtype: str or `keras.DTypePolicy`. Defaults to `None`, the backbone's.
        **kwargs: Arguments of `keras_hub.models.Task`: `name`, `trainable` and `compile`.

    Example:
    ```python
    waveforms = [np.random.uniform(-1, 1, 16000), np.random.uniform(-1, 1, 9000)]
    classifier = keras_asit.models.ASiTAudioClassifier.from_preset(
        "asit_tiny_16k", num_classes=2, class_names=["cat", "dog"], spectrogram_shape=(96, 128)
    )
    classifier.fit(waveforms, ["cat", "dog"], batch_size=2)
    logits = classifier.predict(waveforms)  # (2, 2)
    ```

    Reference: Gong et al., "AST", arXiv 2104.01778, section 2.1.
    """

    size_argument = "num_classes"

    def __init__(
        self,
        backbone: ASiTBackbone,
        num_classes: int,
        preprocessor: ASiTAudioClassifierPreprocessor | None = None,
        *,
        class_names: Sequence[str] | None = None,
        multi_label: bool = False,
        pooling: str = "cls",
        dropout: float = 0.0,
        activation: str | Callable | None = None,
        augmentation: keras.layers.Layer | None = None,
        head_dtype: str | keras.DTypePolicy | None = None,
        **kwargs,
    ):
        check_task(backbone, preprocessor)
        check_integers(1, num_classes=num_classes)
        num_classes = int(num_classes)
        check_number("dropout", dropout, 0, 0.999)
        class_names = as_class_names(class_names, num_classes, "num_classes")
        check_known("ASiTAudioClassifier", kwargs, ("name", "trainable", "compile"))
        head_dtype = keras.dtype_policies.get(head_dtype or backbone.dtype_policy)
        # Layers without weights cannot be quantized.
        compute_dtype = head_dtype.compute_dtype

        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        self.augmentation = augmentation
        self.pooler = TokenPooling(
            pooling, backbone.grid_shape[1], dtype=compute_dtype, name="pooler"
        )
        self.output_dropout = keras.layers.Dropout(
            dropout, dtype=compute_dtype, name="output_dropout"
        )
        self.output_dense = dense(
            num_classes, activation=activation, dtype=head_dtype, name="predictions"
        )

        # === Functional Model ===
        inputs = keras.Input(backbone.spectrogram_shape, name="spectrograms")
        tokens = backbone(inputs if augmentation is None else augmentation(inputs))
        outputs = self.output_dense(self.output_dropout(self.pooler(tokens, inputs)))
        # `compile` reads these.
        self.num_classes = num_classes
        self.multi_label = multi_label
        self.activation = keras.activations.get(activation)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.class_names = class_names
        self.pooling = pooling
        self.dropout = dropout

    @property
    def head_dtype(self) -> keras.DTypePolicy:
        return self.output_dense.dtype_policy

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        """Configure training, as `keras.Model.compile` does.

        Args:
            optimizer: Defaults to `"auto"`: `AdamW` with a learning rate of 5e-5.
            loss: Defaults to `"auto"`: cross-entropy of class indices, or with `multi_label` or
                one class the binary one.
            metrics: Defaults to `"auto"`: accuracy, or with `multi_label` the area under the
                precision-recall curve.
        """
        if optimizer == "auto":
            optimizer = AdamW(5e-5)
        from_logits = not self.outputs_are_probabilities
        if loss == "auto" and self.is_binary:
            loss = keras.losses.BinaryCrossentropy(from_logits)
        elif loss == "auto":
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits)
        if metrics == "auto" and self.multi_label:
            sizes = {"multi_label": True, "num_labels": self.num_classes}
            auc_pr = keras.metrics.AUC(curve="PR", from_logits=from_logits, name="auc_pr", **sizes)
            metrics = [auc_pr]
        elif metrics == "auto" and self.is_binary:
            threshold = 0.0 if from_logits else 0.5
            metrics = [keras.metrics.BinaryAccuracy(name="accuracy", threshold=threshold)]
        elif metrics == "auto":
            metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def check_labels(self, y):
        """Return labels as the loss takes them: class indices, or a share of each class."""
        y = y if is_symbolic(y) else as_label_array(y)
        sparse = keras.losses.SparseCategoricalCrossentropy
        is_sparse = isinstance(self.loss, sparse) or self.loss == "sparse_categorical_crossentropy"
        if self.num_classes == 1 and len(y.shape) == 1:
            y = y[:, None]
        are_shares = self.is_binary or tuple(y.shape[1:]) == (self.num_classes,)
        if are_shares and is_sparse and not self.is_binary:
            return as_indices_of_ones(y)
        if are_shares:
            labels = as_shares(y, (self.num_classes,))
        else:
            labels = as_indices(y, self.num_classes, self.class_names)
        kinds = ["class indices", "shares of classes"]
        losses = ["SparseCategoricalCrossentropy", "CategoricalCrossentropy"]
        if isinstance(self.loss, getattr(keras.losses, losses[not are_shares])):
            raise ValueError(
                f"Labels of shape {tuple(y.shape)} are {kinds[are_shares]}, but the loss takes "
                f"{kinds[not are_shares]}. Give those, or compile with `loss=keras.losses."
                f"{losses[are_shares]}(from_logits=True)` and metrics to match."
            )
        return labels

    def copy_head(self, source: "ASiTAudioClassifier"):
        """Start each class from the one of the same name in the head of another classifier.

        Args:
            source: an `ASiTAudioClassifier` of the same pooling and width, whose `class_names` are
                all of this one's, and others besides.

        Raises:
            ValueError: if a class has no name or is not among those of `source`, or the heads read
                other vectors; this classifier is as it was.

        Example:
        ```python
        names = classifier.class_names[:1]
        other = keras_asit.models.ASiTAudioClassifier(classifier.backbone, 1, class_names=names)
        other.copy_head(classifier)
        ```
        """
        check_instance("source", source, ASiTAudioClassifier)
        theirs = source.class_names or []
        unknown = [
            name for name in self.class_names or ["classes without names"] if name not in theirs
        ]
        if unknown:
            raise ValueError(
                f"`source` must know all classes by their names; it has {len(theirs)} names. "
                f"Unknown to it: {name_some(map(repr, unknown))}"
            )
        widths = [classifier.output_dense.kernel.shape[0] for classifier in (self, source)]
        if self.pooling != source.pooling or widths[0] != widths[1]:
            raise ValueError(
                f"`source` must have the pooling {self.pooling!r} to {widths[0]} values. Received: "
                f"{source.pooling!r} to {widths[1]} values"
            )
        indices = [theirs.index(name) for name in self.class_names]
        weights = map(ops.convert_to_numpy, source.output_dense.weights)
        self.output_dense.set_weights([weight[..., indices] for weight in weights])

    def probability_model(self) -> keras.Model:
        """Return a `keras.Model` from spectrograms to probabilities; it shares all weights."""
        if self.outputs_are_probabilities:
            return keras.Model(self.input, self.output)
        function = "sigmoid" if self.is_binary else "softmax"
        layer = keras.layers.Activation(function, dtype="float32", name="probabilities")
        return keras.Model(self.input, layer(self.output))

    @property
    def is_binary(self):
        """Whether each class is a yes or no of its own."""
        return self.multi_label or self.num_classes == 1

    @property
    def outputs_are_probabilities(self):
        """Whether outputs are not logits."""
        return self.activation in (keras.activations.softmax, keras.activations.sigmoid)
