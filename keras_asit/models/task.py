"""What the tasks of ASiT share: presets, and clips of any length as their inputs."""

import collections
import contextlib
import types

import keras
import keras_hub
import numpy as np
from keras.saving import deserialize_keras_object, serialize_keras_object

from keras_asit._arguments import arguments_of, check_instance, is_symbolic, name_some
from keras_asit.models import presets as builtin_presets
from keras_asit.models.audio_preprocessor import ASiTAudioClassifierPreprocessor
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.inputs import (
    as_batches,
    as_clips,
    as_dataset,
    assert_spectrograms,
    split_clips,
)
from keras_asit.models.model import ASiTModel
from keras_asit.models.model_card import SavedWithCard


class ASiTTask(SavedWithCard, ASiTModel, keras_hub.models.Task):
    """Base of the tasks: `from_preset`, and `fit`, `evaluate` and `predict` of waveforms.

    A task has `size_argument`, the argument of its constructor that no backbone tells, and
    `check_labels`, which returns labels as the loss takes them.
    """

    backbone_cls = ASiTBackbone
    preprocessor_cls = ASiTAudioClassifierPreprocessor
    presets = builtin_presets.listed_presets()
    size_argument = None

    @classmethod
    def from_preset(
        cls,
        preset: str,
        load_weights: bool = True,
        *,
        spectrogram_shape: tuple[int, int] | None = None,
        patch_stride: int | tuple[int, int] | None = None,
        drop_path_rate: float | None = None,
        **kwargs,
    ):
        """Load a whole task, or start one from a pre-trained backbone.

        With the number of classes (`num_classes` of a classifier, `num_strong_classes` of an
        event detector), backbone and converter are the preset's and the rest starts at random.
        Without, the preset must be one of such a task, and is loaded whole.

        Args:
            preset, load_weights: as in `ASiTBackbone.from_preset`.
            spectrogram_shape, patch_stride, drop_path_rate: as in `ASiTBackbone`; they need the
                number of classes. Default to `None`, the preset's.
            **kwargs: Constructor arguments, such as the number of classes.

        Raises:
            ValueError: if the number of classes is missing, or the preset has no converter and no
                `preprocessor` is given.

        Example:
        ```python
        classifier = keras_asit.models.ASiTAudioClassifier.from_preset(
            "asit_tiny_16k", num_classes=50, spectrogram_shape=(496, 128)
        )
        ```
        """
        changes = {"spectrogram_shape": spectrogram_shape, "patch_stride": patch_stride}
        changes["drop_path_rate"] = drop_path_rate
        changes = {name: value for name, value in changes.items() if value is not None}
        if cls.size_argument in kwargs:
            return cls._from_backbone(preset, load_weights, changes, **kwargs)
        missing = ValueError(
            f"`{cls.size_argument}` must be given unless the preset is of an {cls.__name__} that "
            f"stays as it is. Received: preset={preset!r}, {changes or 'no changes'}"
        )
        if changes or not builtin_presets.may_hold(preset, cls.__name__):
            raise missing
        if "dtype" in kwargs:
            kwargs = {"head_dtype": kwargs["dtype"], **kwargs}
        folder = builtin_presets.locate(preset)
        try:
            return super().from_preset(folder, load_weights=load_weights, **kwargs)
        except (TypeError, FileNotFoundError) as error:  # There is but a backbone.
            if f"'{cls.size_argument}'" not in str(error) and "converter" not in str(error):
                raise
            raise missing from error

    @classmethod
    def _from_backbone(cls, preset, load_weights, changes, dtype=None, **kwargs):
        backbone = ASiTBackbone.from_preset(
            preset, load_weights=load_weights, dtype=dtype, **changes
        )
        if "preprocessor" not in kwargs:
            frames, mels = backbone.spectrogram_shape
            try:
                kwargs["preprocessor"] = cls.preprocessor_cls.from_preset(
                    preset, num_frames=frames, num_mels=mels
                )
            except FileNotFoundError as error:
                raise ValueError(
                    f"The preset {preset!r} has no `ASiTAudioConverter`. Save one there, with "
                    "`converter.save_to_preset`, or give `preprocessor`: one with a converter, or "
                    "None for inputs that are spectrograms."
                ) from error
        return cls(backbone, **kwargs)

    def fit(
        self,
        x=None,
        y=None,
        batch_size: int | None = None,
        *,
        sample_weight=None,
        validation_data=None,
        validation_split: float = 0.0,
        validation_batch_size: int | None = None,
        shuffle: bool = True,
        **kwargs,
    ):
        """Train as `keras.Model.fit` does; unlike KerasHub's tasks, arrays are shuffled."""
        data = self._checked(x, y, sample_weight, batch_size)
        if validation_split and validation_data is None:
            data, validation_data = split_clips(data, validation_split)
        elif isinstance(validation_data, (list, tuple)):
            parts = keras.utils.unpack_x_y_sample_weight(tuple(validation_data))
            validation_data = self._checked(*parts)
        elif validation_data is not None:
            validation_data = self._checked(validation_data)
        return super().fit(
            as_batches(data, batch_size, shuffle),
            validation_data=as_batches(validation_data, validation_batch_size or batch_size),
            shuffle=False,
            **kwargs,
        )

    def evaluate(
        self, x=None, y=None, batch_size: int | None = None, *, sample_weight=None, **kwargs
    ):
        """Evaluate; see `keras.Model.evaluate`."""
        data = self._checked(x, y, sample_weight, batch_size)
        return super().evaluate(as_batches(data, batch_size), **kwargs)

    def predict(self, x=None, batch_size: int | None = None, **kwargs):
        """Predict outputs of clips; see `keras.Model.predict`."""
        data = self._checked(x, batch_size=batch_size)
        return super().predict(as_batches(data, batch_size), **kwargs)

    def __call__(self, inputs, *args, **kwargs):
        mels = self.backbone.spectrogram_shape[1]
        # A list is of clips.
        shape = tuple(inputs.shape) if hasattr(inputs, "shape") else (len(inputs), None)
        if len(shape) != 3 or shape[2] not in (None, mels):
            raise ValueError(
                f"A call takes spectrograms of shape (batch, frames, {mels}). For waveforms use "
                f"`predict`, or call the `preprocessor` on them first. Received: shape={shape}"
            )
        return super().__call__(inputs, *args, **kwargs)

    def preprocess_samples(self, x, y=None, sample_weight=None):
        if self.preprocessor is None and is_symbolic(x):
            x = assert_spectrograms(x)
        y = None if y is None else self.check_labels(y)
        return super().preprocess_samples(x, y, sample_weight)

    def _checked(self, x, y=None, sample_weight=None, batch_size=None):
        """Return clips, labels and weights as a tuple of arrays, or the dataset that `x` is."""
        import tensorflow as tf

        are_generated = isinstance(x, (keras.utils.PyDataset, types.GeneratorType))
        if are_generated or isinstance(x, tf.data.Dataset):
            others = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
            given = [f"`{name}`" for name, value in others.items() if value is not None]
            if given:
                raise ValueError(
                    f"A dataset of batches brings its own {' and '.join(given)}; leave that out."
                )
            if are_generated:
                unpack = keras.utils.unpack_x_y_sample_weight
                return as_dataset(x, lambda batch: self._checked(*unpack(batch)))
            return x
        x = as_clips(x, None if self.preprocessor else self.backbone.spectrogram_shape)
        if y is None:
            return (x,)
        labels, weights = self.check_labels(y), None
        if sample_weight is not None:
            weights = np.asarray(sample_weight, "float32")
            # One a clip, whatever else the labels of an output have.
            weights = keras.tree.map_structure(
                lambda each: weights.reshape(-1, *[1] * (each.ndim - 2)), labels
            )
        data = keras.utils.pack_x_y_sample_weight(x, labels, weights)
        for part in keras.tree.flatten(data[1:]):
            if len(part) != x.shape[0]:
                raise ValueError(
                    f"`y` and `sample_weight` must be of {x.shape[0]} clips, as `x` is. Received: "
                    f"{len(part)}"
                )
        return data

    def save_task_weights(self, filepath):
        with self._optimizer_set_aside():
            super().save_task_weights(filepath)

    def load_task_weights(self, filepath):
        with self._optimizer_set_aside():
            super().load_task_weights(filepath)

    @contextlib.contextmanager
    def _optimizer_set_aside(self):
        """Keep the states of the optimizer, twice the weights, out of a preset."""
        optimizer, self.optimizer = getattr(self, "optimizer", None), None
        try:
            yield
        finally:
            self.optimizer = optimizer

    def compile_from_config(self, config):
        super().compile_from_config(config)
        self.optimizer.build(self.trainable_variables)

    def get_config(self):
        arguments = arguments_of(type(self), self)
        config = {name: serialize_keras_object(value) for name, value in arguments.items()}
        return {**config, "name": self.name}

    @classmethod
    def from_config(cls, config):
        objects = {
            name: deserialize_keras_object(value)
            for name, value in config.items()
            # What is given to `from_preset` is an object already.
            if isinstance(value, dict)
        }
        return cls(**{**config, **objects})


def as_class_names(names, number, size_argument):
    """Return names of classes as a list, or `None` for none; there must be one for each."""
    if names is None:
        return None
    is_list = isinstance(names, (list, tuple, np.ndarray))
    names = list(names) if is_list else [names]
    if not is_list or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"`class_names` must be a list of strs. Received: {name_some(map(repr, names))}"
        )
    repeated = [name for name, count in collections.Counter(names).items() if count > 1]
    if repeated or len(names) != number:
        twice = f"; more than once: {name_some(map(repr, repeated))}" if repeated else ""
        raise ValueError(
            f"`class_names` must be {number} different names (`{size_argument}`). Received: "
            f"{len(names)}{twice}"
        )
    return [str(name) for name in names]


def check_task(backbone, preprocessor):
    """Raise `ValueError` unless backbone and preprocessor are such, and of one shape."""
    check_instance("backbone", backbone, ASiTBackbone)
    if preprocessor is None:
        return
    check_instance("preprocessor", preprocessor, ASiTAudioClassifierPreprocessor)
    shape = preprocessor.audio_converter.audio_shape()
    if shape != backbone.spectrogram_shape:
        raise ValueError(
            f"The backbone reads spectrograms of {backbone.spectrogram_shape} (frames, mels), but "
            f"the preprocessor makes {shape}. Load the one or the other with another "
            "`spectrogram_shape` or `num_frames`."
        )
