"""Self-supervised pre-training of ASiT: a student, its momentum teacher, and their losses."""

import keras
from keras import ops

from keras_asit._arguments import arguments_of, check_number
from keras_asit.layers import GroupMasking, ProjectionHead, ReconstructionHead
from keras_asit.losses import DistillationLoss, MaskedReconstructionLoss
from keras_asit.metrics import SecondMoment
from keras_asit.models.audio_converter import ASiTAudioConverter
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.pretraining_batch import as_spectrograms, check_parts, per_view
from keras_asit.models.pretraining_trainer import PretrainingTrainer, value_at
from keras_asit.replicas import num_replicas

LOSSES = ("global", "local", "reconstruction")


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTPretrainer(PretrainingTrainer, keras.Model):
    """Pre-train an `ASiTBackbone` on unlabeled audio.

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
    `reconstruction_loss`; `teacher_class_entropy` and `teacher_patch_entropy`, in nats, of the
    teacher's distributions over prototypes, which collapse at 0 or at the logarithm of their
    number; and `non_finite_steps`, in how many steps of the epoch the loss or a gradient was not
    finite. `keras_asit.callbacks.LogSchedules` adds `effective_rank`, which collapses at 1.

    Attributes: `student` and `teacher`, each with a `backbone`, a `projection_head` and a
    `reconstruction_head`; `backbone`, the student's; and every argument.

    Example:
    ```python
    backbone = keras_asit.models.ASiTBackbone(
        spectrogram_shape=(64, 32), num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
    )
    pretrainer = keras_asit.models.ASiTPretrainer(
        backbone, num_class_prototypes=64, num_patch_prototypes=32
    )
    pretrainer.compile()
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
        check_parts(backbone, masking, converter)
        self.converter = converter
        self.num_class_prototypes = num_class_prototypes
        self.num_patch_prototypes = num_patch_prototypes
        self.trainable_gain = trainable_gain
        self.projection_hidden_dim = projection_hidden_dim
        self.projection_bottleneck_dim = projection_bottleneck_dim
        self.reconstruction_hidden_dim = reconstruction_hidden_dim
        self.reconstruction_bottleneck_dim = reconstruction_bottleneck_dim
        self.global_loss_weight = global_loss_weight
        self.local_loss_weight = local_loss_weight
        self.reconstruction_loss_weight = reconstruction_loss_weight
        self.student_temperature = student_temperature
        self.center_momentum = center_momentum
        for weight in (f"{name}_loss_weight" for name in LOSSES):
            check_number(weight, getattr(self, weight), 0)

        self.masking = GroupMasking(dtype="float32") if masking is None else masking
        # An unbuilt layer would cost the first batches of `fit` under JAX and PyTorch: Keras
        # takes them to build it, and with them the place that a dataset starts at.
        self.masking.build((None, 2, *backbone.spectrogram_shape))
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
            config = {
                "drop_path_rate": 0.0,
                "rematerialize": False,
                "name": f"{backbone.name}_teacher",
            }
            average = type(backbone).from_config({**backbone.get_config(), **config})
        self.teacher = ASiTNetwork(average, **heads, name="teacher", frozen=True)
        self.reset_teacher()
        both = {"student_temperature": student_temperature, "center_momentum": center_momentum}
        self.global_distillation = DistillationLoss(
            num_class_prototypes, "other", name="global_distillation", **both
        )
        self.local_distillation = DistillationLoss(
            num_patch_prototypes or num_class_prototypes, "same", name="local_distillation", **both
        )
        self.masked_reconstruction = MaskedReconstructionLoss()
        self.loss_trackers = [keras.metrics.Mean(name=f"{name}_loss") for name in LOSSES]
        entropies = ("teacher_class_entropy", "teacher_patch_entropy")
        self.entropy_trackers = [keras.metrics.Mean(name=name) for name in entropies]
        self.embedding_moment = SecondMoment(backbone.hidden_dim, name="embedding_moment")
        self.non_finite_steps = keras.metrics.Sum(name="non_finite_steps")
        # All processes count the same steps.
        self.non_finite_steps.adds_up = False
        self.step = self.add_weight(
            (), "zeros", "int32", trainable=False, aggregation="only_first_replica", name="step"
        )
        self.built = True

    @property
    def backbone(self) -> ASiTBackbone:
        """The student's backbone."""
        return self.student.backbone

    def reset_teacher(self) -> None:
        """Make the teacher equal to the student, as it is before the first step."""
        self.teacher.set_weights(self.student.get_weights())

    def corrupt(self, inputs) -> dict:
        """Return a batch as spectrograms, with `"corrupted"` and `"mask"`."""
        batch = as_spectrograms(inputs, self.backbone, self.converter)
        if "corrupted" not in batch:
            batch["corrupted"], batch["mask"] = self.masking(batch["clean"])
        return {**batch, "mask": ops.cast(batch["mask"], "float32")}

    def call(self, inputs, training=False):
        """Corrupt, and run student and teacher.

        Returns:
            A dict of the spectrograms `"clean"`, `"corrupted"`, `"mask"` and `"reconstruction"`,
            (batch, views, frames, mels), of `"student_class_logits"`, `"student_patch_logits"`,
            `"teacher_class_logits"` and `"teacher_patch_logits"`, (batch, views, ...,
            prototypes), and of the teacher's [CLS], `"teacher_embeddings"`.
        """
        batch = self.corrupt(inputs)
        clean, corrupted = batch["clean"], batch["corrupted"]
        # First, while nothing is kept yet for the student's gradient.
        tokens = per_view(self.teacher.backbone, clean)
        teacher_class_logits, teacher_patch_logits = per_view(self.teacher.projection_head, tokens)
        class_logits, patch_logits, reconstruction = per_view(
            self.student, corrupted, training=training
        )
        if "short" in batch:
            crop_logits = per_view(self.student.project_crops, batch["short"], training=training)
            class_logits = ops.concatenate([class_logits, crop_logits], axis=1)
        return {
            "clean": clean,
            "corrupted": corrupted,
            "mask": batch["mask"],
            "reconstruction": reconstruction,
            "student_class_logits": class_logits,
            "student_patch_logits": patch_logits,
            "teacher_class_logits": ops.stop_gradient(teacher_class_logits),
            "teacher_patch_logits": ops.stop_gradient(teacher_patch_logits),
            "teacher_embeddings": ops.stop_gradient(tokens[:, :, 0]),
        }

    def compute_loss(self, x, y=None, y_pred=None, sample_weight=None, training=True):
        temperature = value_at(self.teacher_temperature, self.step)
        now = {"temperature": temperature, "training": training}
        reconstruction = self.masked_reconstruction(
            y_pred["clean"],
            y_pred["reconstruction"],
            sample_weight=y_pred["mask"],
            # That of the batch, of which this may be a part.
            mean_weight=y_pred.get("mean_mask"),
        )
        class_logits, patch_logits = y_pred["teacher_class_logits"], y_pred["teacher_patch_logits"]
        entropies = (
            self.global_distillation.teacher_entropy(class_logits, temperature),
            self.local_distillation.teacher_entropy(patch_logits, temperature),
        )
        losses = (
            self.global_distillation(class_logits, y_pred["student_class_logits"], **now),
            self.local_distillation(patch_logits, y_pred["student_patch_logits"], **now),
            reconstruction * num_replicas(),
        )
        trackers = (*self.loss_trackers, *self.entropy_trackers)
        for tracker, value in zip(trackers, (*losses, *entropies)):
            tracker.update_state(value, sample_weight=ops.shape(x["clean"])[0])
        self.embedding_moment.update_state(y_pred["teacher_embeddings"])
        weights = [getattr(self, f"{name}_loss_weight") for name in LOSSES]
        # One sum: TensorFlow adds up single terms in an order that differs from run to run.
        total = ops.sum(ops.stack(losses) * ops.convert_to_tensor(weights, "float32"))
        return (total + sum(self.losses)) / num_replicas()

    def get_config(self):
        config = {**arguments_of(ASiTPretrainer, self), "trainable": self.trainable}
        return {n: keras.saving.serialize_keras_object(value) for n, value in config.items()}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        deserialize = keras.saving.deserialize_keras_object
        return cls(**{n: deserialize(value, custom_objects) for n, value in config.items()})


class ASiTNetwork(keras.Model):
    """A backbone, a projection head and a reconstruction head.

    Args:
        backbone: an `ASiTBackbone`.
        projection: dict of arguments of `ProjectionHead`.
        reconstruction: dict of arguments of `ReconstructionHead`.
        frozen: bool. Whether no variable is ever trainable, whatever `trainable` is set to; the
            backbone, saved as a preset, loads as trainable. Defaults to `False`.
        **kwargs: Arguments of `keras.Model`, such as `name`.
    """

    def __init__(self, backbone, projection, reconstruction, frozen=False, **kwargs):
        super().__init__(**kwargs)
        self._frozen = frozen
        dtype = backbone.dtype_policy
        self.backbone = backbone
        self.projection_head = ProjectionHead(**projection, dtype=dtype, name="projection_head")
        self.reconstruction_head = ReconstructionHead(
            backbone.grid_shape,
            backbone.patch_size,
            **reconstruction,
            dtype=dtype,
            name="reconstruction_head",
        )
        self.build()

    def build(self, input_shape=None):
        token_shape = (None, None, self.backbone.hidden_dim)
        self.projection_head.build(token_shape)
        self.reconstruction_head.build(token_shape)
        self._freeze()

    @property
    def trainable(self):
        return super().trainable

    @trainable.setter
    def trainable(self, value):
        keras.Model.trainable.fset(self, value)
        self._freeze()

    def _freeze(self):
        if self._frozen:
            for variable in self.variables:
                variable.trainable = False

    def call(self, spectrograms, training=False):
        """Return class logits, patch logits and the reconstruction of spectrograms."""
        tokens = self.backbone(spectrograms, training=training)
        return *self.projection_head(tokens), self.reconstruction_head(tokens[:, 1:])

    def project_crops(self, spectrograms, training=False):
        """Return the class logits of crops of any size."""
        tokens = self.backbone.encode(spectrograms, training=training)
        return self.projection_head(tokens[:, :1])[0]
