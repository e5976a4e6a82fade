"""Self-supervised pre-training of ASiT: a student, its momentum teacher, and their losses."""

import keras
from keras import ops

from keras_asit._arguments import check_number
from keras_asit.layers import GroupMasking
from keras_asit.losses import DistillationLoss, MaskedReconstructionLoss, num_replicas
from keras_asit.models.audio_converter import ASiTAudioConverter
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.network import ASiTNetwork
from keras_asit.models.portable_compile import PortableCompile
from keras_asit.models.pretraining_batch import (
    check_backbone,
    check_batch_names,
    check_converter,
    check_samples,
    check_spectrograms,
)
from keras_asit.models.pretraining_step import PretrainingStep, value_at
from keras_asit.optimizers import AdamW

LossScaleOptimizer = keras.optimizers.LossScaleOptimizer
Schedule = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTPretrainer(PretrainingStep, PortableCompile, keras.Model):
    """Pre-train an `ASiTBackbone` on unlabelled audio.

    The student sees corrupted views of clips and learns to reconstruct them, to assign each
    patch to the prototypes that the teacher assigns the clean patch to, and each clip to those
    that the teacher assigns the clip's other view to. The teacher is a moving average of the
    student, heads included; it receives no gradients.

    The defaults are the first generation of the method. The second is the configuration
    `GroupMasking(drop_ratio=0.5)`, `num_patch_prototypes=None`, `trainable_gain=True`, all
    three loss weights halved, and short crops in the batches.

    Args:
        backbone: an `ASiTBackbone`, of the student. Its patches must tile the spectrogram.
        masking: a `GroupMasking` layer. Defaults to `None`, one with its defaults.
        converter: an `ASiTAudioConverter`, for batches of waveforms instead of
            spectrograms: the filterbank then runs on the device. Defaults to `None`.
        num_class_prototypes: int. Prototypes for [CLS]. Defaults to `8192`.
        num_patch_prototypes: int. Prototypes for patches, or `None` to share those for [CLS].
            Defaults to `1024`.
        trainable_gain: bool. Whether prototypes have a trainable norm. Defaults to `False`.
        projection_hidden_dim: int. Defaults to `2048`.
        projection_bottleneck_dim: int. Defaults to `256`.
        reconstruction_hidden_dim: int. Defaults to `768`.
        reconstruction_bottleneck_dim: int. Defaults to `128`.
        global_loss_weight: float. Weight of the [CLS] loss. Defaults to `1.0`.
        local_loss_weight: float. Weight of the patch loss. Defaults to `1.0`.
        reconstruction_loss_weight: float. Defaults to `2.0`.
        student_temperature: float. Defaults to `0.1`.
        center_momentum: float. Defaults to `0.9`.
        **kwargs: Arguments of `keras.Model`, such as `name`.

    Batches are dicts: `"clean"`, `(batch, 2, frames, mels)`, two views of each clip; optional
    `"short"`, `(batch, crops, frames, mels)`, short crops that only the student sees. A batch
    that holds `"corrupted"` and `"mask"`, shaped like `"clean"`, is used as it is. With a
    `converter`, `"clean"` and `"short"` may be waveforms, `(batch, views, samples)`.

    Logs: `loss`, the weighted total, and unweighted `global_loss`, `local_loss` and
    `reconstruction_loss`; and `non_finite_steps`, in how many steps of the epoch the loss or a
    gradient was not finite.

    Example:

    ```python
    backbone = keras_asit.models.ASiTBackbone(
        spectrogram_shape=(64, 32), num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
    )
    pretrainer = keras_asit.models.ASiTPretrainer(
        backbone, num_class_prototypes=64, num_patch_prototypes=32
    )
    pretrainer.compile(keras_asit.optimizers.AdamW(1e-3, weight_decay=0.04, clipnorm=3.0))
    pretrainer.fit({"clean": np.random.normal(size=(8, 2, 64, 32))}, batch_size=4)
    pretrainer.teacher.backbone.save_to_preset("my_preset")
    ```

    Reference: Atito et al., "ASiT: Local-Global Audio Spectrogram vIsion Transformer for Event
    Classification", arXiv 2211.13189, section III.
    """

    def __init__(
        self,
        backbone: ASiTBackbone,
        *,
        masking: GroupMasking | None = None,
        converter: ASiTAudioConverter | None = None,
        num_class_prototypes: int = 8192,
        num_patch_prototypes: int | None = 1024,
        trainable_gain: bool = False,
        projection_hidden_dim: int = 2048,
        projection_bottleneck_dim: int = 256,
        reconstruction_hidden_dim: int = 768,
        reconstruction_bottleneck_dim: int = 128,
        global_loss_weight: float = 1.0,
        local_loss_weight: float = 1.0,
        reconstruction_loss_weight: float = 2.0,
        student_temperature: float = 0.1,
        center_momentum: float = 0.9,
        name: str = "asit_pretrainer",
        **kwargs,
    ):
        # Spectrograms stay in float32, for masks and targets, whatever the precision.
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        check_backbone(backbone)
        check_converter(converter, backbone)
        if masking is not None and not isinstance(masking, GroupMasking):
            raise ValueError(f"`masking` must be a GroupMasking layer. Received: {masking!r}")
        loss_weights = {
            "global_loss_weight": global_loss_weight,
            "local_loss_weight": local_loss_weight,
            "reconstruction_loss_weight": reconstruction_loss_weight,
        }
        for name, weight in loss_weights.items():
            check_number(name, weight, 0)
        self._arguments = {
            "num_class_prototypes": num_class_prototypes,
            "num_patch_prototypes": num_patch_prototypes,
            "trainable_gain": trainable_gain,
            "projection_hidden_dim": projection_hidden_dim,
            "projection_bottleneck_dim": projection_bottleneck_dim,
            "reconstruction_hidden_dim": reconstruction_hidden_dim,
            "reconstruction_bottleneck_dim": reconstruction_bottleneck_dim,
            **loss_weights,
            "student_temperature": student_temperature,
            "center_momentum": center_momentum,
        }
        self.masking = GroupMasking(dtype="float32") if masking is None else masking
        # An unbuilt layer would cost the first batches of `fit` under JAX and PyTorch: Keras
        # takes them to build it, and with them the place that a dataset starts at.
        self.masking.build((None, 2, *backbone.spectrogram_shape))
        self.converter = converter
        heads = {
            "projection": {
                "num_class_prototypes": num_class_prototypes,
                "num_patch_prototypes": num_patch_prototypes,
                "hidden_dim": projection_hidden_dim,
                "bottleneck_dim": projection_bottleneck_dim,
                "trainable_gain": trainable_gain,
            },
            "reconstruction": {
                "hidden_dim": reconstruction_hidden_dim,
                "bottleneck_dim": reconstruction_bottleneck_dim,
            },
        }
        self.student = ASiTNetwork(backbone, **heads, name="student")
        # Variables need different paths in the teacher: PyTorch's modules know them by path.
        with keras.name_scope("teacher"):
            teacher_backbone = _copy_without_drop_path(backbone)
        self.teacher = ASiTNetwork(teacher_backbone, **heads, frozen=True, name="teacher")
        self.student.build()
        self.teacher.build()
        self.reset_teacher()

        temperatures = {
            "student_temperature": student_temperature,
            "center_momentum": center_momentum,
        }
        self.global_distillation = DistillationLoss(
            num_class_prototypes, views="other", **temperatures, name="global_distillation"
        )
        self.local_distillation = DistillationLoss(
            num_patch_prototypes or num_class_prototypes,
            views="same",
            **temperatures,
            name="local_distillation",
        )
        self.masked_reconstruction = MaskedReconstructionLoss()
        self.loss_trackers = [
            keras.metrics.Mean(name=name)
            for name in ("global_loss", "local_loss", "reconstruction_loss")
        ]
        self.non_finite_steps = keras.metrics.Sum(name="non_finite_steps")
        self.step = self.add_weight(
            name="step",
            shape=(),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.teacher_momentum = 0.996
        self.teacher_temperature = 0.04
        self.skip_non_finite = False
        self.built = True

    def reset_teacher(self):
        """Make the teacher equal to the student, as it is before the first step."""
        self.teacher.set_weights(self.student.get_weights())

    def compile(
        self,
        optimizer="adamw",
        teacher_momentum=0.996,
        teacher_temperature=0.04,
        skip_non_finite=False,
        auto_scale_loss=True,
        **kwargs,
    ):
        """Configure training.

        Args:
            optimizer: a Keras optimizer. Defaults to `"adamw"`, a `keras_asit.optimizers.AdamW`
                with its defaults. With its `gradient_accumulation_steps`, the teacher moves
                and schedules advance when the student is updated.
            teacher_momentum: float in [0, 1], or a `LearningRateSchedule` of the step. The share
                of itself that the teacher keeps in a step. Defaults to `0.996`.
            teacher_temperature: positive float, or a schedule. Defaults to `0.04`.
            skip_non_finite: bool. Whether a step whose loss or gradient is not finite is undone:
                student, teacher, optimizer, centers and averages of losses stay as they were.
                It needs memory for another copy of the student and the optimizer. Defaults to
                `False`. Either way the log `non_finite_steps` counts such steps.
            auto_scale_loss: bool. Whether a backbone in `mixed_float16` has the loss scaled, by a
                `keras.optimizers.LossScaleOptimizer` around the optimizer. Defaults to `True`.
            **kwargs: Other arguments of `keras.Model.compile`, such as `jit_compile` and
                `steps_per_execution`. Losses are fixed.

        Raises:
            ValueError: for a `loss`, no optimizer, or a number or the first value of a schedule
                out of range.
        """
        if kwargs.get("loss") is not None:
            raise ValueError(
                "The losses of pre-training are fixed; weigh them with the arguments "
                f"`*_loss_weight` of ASiTPretrainer. Received: loss={kwargs['loss']!r}"
            )
        if optimizer is None:
            raise ValueError(
                "`optimizer` must be a Keras optimizer or the name of one. Received: None"
            )
        check_number("teacher_momentum", _first_value(teacher_momentum), 0, 1)
        check_number("teacher_temperature", _first_value(teacher_temperature), 1e-6)
        if skip_non_finite and num_replicas() > 1:
            raise ValueError(
                "`skip_non_finite` is for one replica. Received: skip_non_finite=True under a "
                f"strategy of {num_replicas()} replicas"
            )
        optimizer = AdamW() if optimizer == "adamw" else keras.optimizers.get(optimizer)
        # Keras would look at the precision of the pretrainer, which is float32.
        is_half = self.student.backbone.compute_dtype == "float16"
        if is_half and auto_scale_loss and not isinstance(optimizer, LossScaleOptimizer):
            optimizer = LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        super().compile(optimizer=optimizer, **kwargs)
        # With its variables made here, TensorFlow need not trace the first step twice.
        self.optimizer.build(self.trainable_variables)
        self.teacher_momentum = teacher_momentum
        self.teacher_temperature = teacher_temperature
        self.skip_non_finite = bool(skip_non_finite)

    def call(self, inputs, training=False):
        """Corrupt, and run student and teacher.

        Returns:
            A dict of the spectrograms `"clean"`, `"corrupted"`, `"mask"` and `"reconstruction"`,
            (batch, views, frames, mels), and of `"student_class_logits"`,
            `"student_patch_logits"`, `"teacher_class_logits"` and `"teacher_patch_logits"`,
            (batch, views, ..., prototypes).
        """
        check_batch_names(inputs)
        inputs = {name: self._to_spectrograms(name, views) for name, views in inputs.items()}
        check_spectrograms(inputs, self.student.backbone)
        clean = inputs["clean"]
        if "corrupted" in inputs:
            corrupted, mask = inputs["corrupted"], ops.cast(inputs["mask"], "float32")
        else:
            corrupted, mask = self.masking(clean)
        class_logits, patch_logits, reconstruction = self._per_view(
            self.student, corrupted, training=training
        )
        if "short" in inputs:
            crop_logits = self._per_view(
                self.student.project_crops, inputs["short"], training=training
            )
            class_logits = ops.concatenate([class_logits, crop_logits], axis=1)
        teacher_class_logits, teacher_patch_logits = self._per_view(self.teacher.project, clean)
        return {
            "clean": clean,
            "corrupted": corrupted,
            "mask": mask,
            "reconstruction": reconstruction,
            "student_class_logits": class_logits,
            "student_patch_logits": patch_logits,
            "teacher_class_logits": ops.stop_gradient(teacher_class_logits),
            "teacher_patch_logits": ops.stop_gradient(teacher_patch_logits),
        }

    def _to_spectrograms(self, name, views):
        if len(views.shape) != 3:
            return views
        if self.converter is None:
            raise ValueError(
                f"A batch's {name!r} has shape {tuple(views.shape)}, that of waveforms. Give "
                "ASiTPretrainer a `converter`, or batches of spectrograms, (batch, views, "
                "frames, mels)."
            )
        num_frames = check_samples(
            name, views.shape, self.converter, self.student.backbone.patch_size[0]
        )
        return self._per_view(self.converter, views, num_frames=num_frames)

    def _per_view(self, network, views, **kwargs):
        """Run a network on (batch, views, ...) as one batch of all views."""
        num_views = views.shape[1]
        outputs = network(ops.reshape(views, (-1, *views.shape[2:])), **kwargs)
        return keras.tree.map_structure(
            lambda x: ops.reshape(x, (-1, num_views, *x.shape[1:])), outputs
        )

    def compute_loss(self, x, y=None, y_pred=None, sample_weight=None, training=True):
        temperature = value_at(self.teacher_temperature, self.step)
        losses = (
            self.global_distillation(
                y_pred["teacher_class_logits"],
                y_pred["student_class_logits"],
                temperature=temperature,
                training=training,
            ),
            self.local_distillation(
                y_pred["teacher_patch_logits"],
                y_pred["student_patch_logits"],
                temperature=temperature,
                training=training,
            ),
            self.masked_reconstruction(
                y_pred["clean"], y_pred["reconstruction"], sample_weight=y_pred["mask"]
            )
            * num_replicas(),
        )
        for tracker, loss in zip(self.loss_trackers, losses):
            tracker.update_state(loss, sample_weight=ops.shape(x["clean"])[0])
        weights = [
            self._arguments[f"{name}_loss_weight"] for name in ("global", "local", "reconstruction")
        ]
        total = sum(weight * loss for weight, loss in zip(weights, losses))
        return (total + sum(self.losses)) / num_replicas()

    def schedule_values(self):
        """Return learning rate, weight decay, teacher momentum and temperature, as floats.

        Returns:
            A dict of the values of the next step, by the names of the arguments they come from.
        """
        # Under mixed_float16, one that scales the loss is around it.
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        values = {
            "learning_rate": optimizer.learning_rate,
            "weight_decay": optimizer.weight_decay or 0.0,
            "teacher_momentum": value_at(self.teacher_momentum, self.step),
            "teacher_temperature": value_at(self.teacher_temperature, self.step),
        }
        return {name: float(ops.convert_to_numpy(value)) for name, value in values.items()}

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for index, state in enumerate(self._seed_states()):
            store[f"seed_{index}"] = state

    def load_own_variables(self, store):
        # The stores of weight files have keys, but can be neither iterated nor unpacked.
        saved = list(store.keys())
        names = [name for name in saved if not name.startswith("seed_")]
        super().load_own_variables({name: store[name] for name in names})
        # Without stochastic depth there are fewer than with it; what is not there stays as it is.
        for index, state in enumerate(self._seed_states()):
            if f"seed_{index}" in saved:
                state.assign(store[f"seed_{index}"])

    def _seed_states(self):
        # Keras saves no states of random generators; a resumed run would repeat old masks.
        return [state for state in self.variables if state.name == "seed_generator_state"]

    def get_compile_config(self):
        config = super().get_compile_config() or {}
        config["skip_non_finite"] = self.skip_non_finite
        for name in ("teacher_momentum", "teacher_temperature"):
            config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "backbone": keras.saving.serialize_keras_object(self.student.backbone),
            "masking": keras.saving.serialize_keras_object(self.masking),
            "converter": keras.saving.serialize_keras_object(self.converter),
            **self._arguments,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in ("backbone", "masking", "converter"):
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return cls(**config)


def _copy_without_drop_path(backbone):
    config = {**backbone.get_config(), "drop_path_rate": 0.0, "name": f"{backbone.name}_teacher"}
    return backbone.__class__.from_config(config)


def _first_value(value):
    return float(ops.convert_to_numpy(value(0))) if isinstance(value, Schedule) else value
