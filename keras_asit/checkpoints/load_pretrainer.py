"""Pretrainers from PyTorch training checkpoints."""

import numpy as np

from keras_asit.checkpoints.layout import recognise
from keras_asit.checkpoints.load_backbone import build_backbone
from keras_asit.checkpoints.pytorch_file import read_pytorch_file
from keras_asit.checkpoints.state_dict import assign_all, backbone_entries, head_entries
from keras_asit.layers import GroupMasking
from keras_asit.layers.mlp import start_at_zero
from keras_asit.models import ASiTPretrainer


def load_pretrainer(path, num_heads=None):
    """Load an `ASiTPretrainer` from a training checkpoint of the original PyTorch code.

    Student, teacher, both heads of each and the centers are loaded; the optimizer's state and
    the epoch are not. A checkpoint of the second generation, whose two losses share one center,
    becomes a pretrainer with that generation's masking, shared head and loss weights.

    Args:
        path: str or path. The PyTorch file.
        num_heads: int. Attention heads, which no file tells. Defaults to `None`, width // 64.

    Returns:
        An `ASiTPretrainer`, to be compiled.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if PyTorch is not installed.
        ValueError: if the file is damaged or no training checkpoint, holds anything but weights,
            or a weight is missing, surplus or of another shape.

    Example:

    ```python
    pretrainer = keras_asit.checkpoints.load_pretrainer("checkpoint.pth")
    ```
    """
    contents = read_pytorch_file(path)
    layouts = {name: recognise(contents, name, path) for name in ("student", "teacher")}
    student = layouts["student"]
    if student.kind not in _CONFIGURATIONS:
        raise ValueError(
            f"{path} is no training checkpoint: it holds no student and teacher. Use "
            "`load_backbone` to load its backbone."
        )
    backbone = build_backbone(student, path, num_heads=num_heads)
    sizes = _head_sizes(student, path)
    with start_at_zero():
        pretrainer = ASiTPretrainer(backbone, **_CONFIGURATIONS[student.kind](), **sizes)
    for name, layout in layouts.items():
        network = getattr(pretrainer, name)
        heads = layout.heads
        if layout.kind == "first_generation":
            heads = _without_unit_gains(heads, path)
        state = {f"backbone.{key}": value for key, value in layout.backbone.items()} | heads
        entries = backbone_entries(network.backbone)
        entries = {f"backbone.{key}": entry for key, entry in entries.items()}
        assign_all(entries | head_entries(network), state, path)
    _assign_centers(pretrainer, contents, student.kind, path)
    return pretrainer


def _head_sizes(layout, path):
    first = layout.kind == "first_generation"
    projection, class_layer = ("head_cls", "cls_layer") if first else ("head", "last_layer")

    def rows(name):
        if name not in layout.heads:
            raise ValueError(f"The weights in {path} do not fit: {name} is missing.")
        return layout.heads[name].shape[0]

    return {
        "num_class_prototypes": rows(f"{projection}.{class_layer}.weight_v"),
        "num_patch_prototypes": rows("head_cls.data_layer.weight_v") if first else None,
        "projection_hidden_dim": rows(f"{projection}.mlp.0.weight"),
        "projection_bottleneck_dim": rows(f"{projection}.mlp.4.weight"),
        "reconstruction_hidden_dim": rows("head_recons.mlp.0.weight"),
        "reconstruction_bottleneck_dim": rows("head_recons.mlp.4.weight"),
    }


def _first_generation():
    return {}


def _second_generation():
    return {
        "masking": GroupMasking(drop_ratio=0.5, dtype="float32"),
        "trainable_gain": True,
        "global_loss_weight": 0.5,
        "local_loss_weight": 0.5,
        "reconstruction_loss_weight": 1.0,
    }


_CONFIGURATIONS = {
    "first_generation": _first_generation,
    "second_generation": _second_generation,
}


def _without_unit_gains(heads, path):
    # The first generation fixes the norm of prototypes at 1, yet stores it.
    for name in [name for name in heads if name.endswith(".weight_g")]:
        if not np.all(np.asarray(heads[name]) == 1):
            raise ValueError(f"The weights in {path} do not fit: {name} is not 1 throughout.")
    return {name: value for name, value in heads.items() if not name.endswith(".weight_g")}


def _assign_centers(pretrainer, contents, kind, path):
    names = ("loss_cls", "loss_data")
    if kind == "second_generation":
        names = ("CLS_PATCH_loss", "CLS_PATCH_loss")
    losses = (pretrainer.global_distillation, pretrainer.local_distillation)
    for name, loss in zip(names, losses):
        center = contents.get(name, {}).get("center")
        if center is None or center.numel() != loss.center.shape[0]:
            raise ValueError(
                f"The weights in {path} do not fit: {name}.center is missing or not of "
                f"{loss.center.shape[0]} values."
            )
        loss.center.assign(np.asarray(center).reshape(loss.center.shape))
