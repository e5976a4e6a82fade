"""Models from PyTorch files."""

import re

import numpy as np
from keras import ops

from keras_asit._arguments import as_pair
from keras_asit.conversion.pytorch_files import (
    NUM_MELS,
    PRETRAINED_SED_SHAPE,
    read_pytorch_file,
    recognise,
)
from keras_asit.conversion.weight_names import (
    assign_all,
    backbone_entries,
    dense_entries,
    head_entries,
)
from keras_asit.layers import GroupMasking
from keras_asit.layers.patch_embedding import resample_positions
from keras_asit.models import ASiTBackbone, ASiTEventDetector, ASiTPretrainer
from keras_asit.models.presets import GENERATIONS


def load_backbone(
    path,
    weights="teacher",
    spectrogram_shape=None,
    num_heads=None,
    stored_grid=None,
    **kwargs,
):
    """Load an `ASiTBackbone` from a PyTorch file.

    The layout is recognised from the keys: training checkpoints of both generations of the
    original code, the files published with PretrainedSED, what `export_backbone` writes, and
    vision transformers of images in timm's naming (whose patch kernel is summed over RGB). Sizes
    come from the shapes. What stands on the backbone (heads, classifiers) is left out.

    The code that the weak and strong files of PretrainedSED were trained with reads their 37 x 8
    positions as 8 x 37 wherever the input is not of 592 frames, and interpolates that. Their
    backbones are therefore made for 10 seconds, 998 frames, by default, with positions read that
    way, and compute what that code does. The self-supervised file was trained at 592 frames,
    where nothing is interpolated: its positions are read as they were learned, 37 x 8.

    Args:
        path: str or path. The PyTorch file.
        weights: `"teacher"` or `"student"`: which network of a training checkpoint. Other files
            hold but one. Defaults to `"teacher"`.
        spectrogram_shape: pair of ints, (frames, mels), that positions are interpolated for,
            unless they are as many. Defaults to `None`, the one that they were trained for, of 128
            mel bins where the file does not say; `(592, 128)` for images' and `(998, 128)` for
            PretrainedSED's weak and strong files.
        num_heads: int. Attention heads, which no file tells. Defaults to `None`, width // 64.
        stored_grid: pair of ints. The patches along time and along mel that positions were
            stored for, where another reading than the one above is wanted. It matters only where
            they are interpolated. Defaults to `None`.
        **kwargs: Other arguments of `ASiTBackbone`: `patch_stride`, `drop_path_rate`, `dtype`.

    Returns:
        An `ASiTBackbone`.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if PyTorch is not installed.
        ValueError: if the file is damaged, of no known layout, holds anything but weights, or a
            weight is missing, surplus or of another shape.

    Example:

    ```python
    backbone = keras_asit.conversion.load_backbone("ASIT_ssl.pt")
    ```
    """
    layout = recognise(read_pytorch_file(path), weights, path)
    return build_backbone(layout, path, spectrogram_shape, num_heads, stored_grid, **kwargs)


def build_backbone(
    layout, path, spectrogram_shape=None, num_heads=None, stored_grid=None, **kwargs
):
    """Return the `ASiTBackbone` of a `Layout`; `path` is for messages."""
    if stored_grid is not None:
        stored_grid = as_pair("stored_grid", stored_grid)
        _check_grid(layout, stored_grid, path)
    if spectrogram_shape is None:
        spectrogram_shape = _trained_shape(layout, stored_grid or layout.grid(path))
    backbone = ASiTBackbone(spectrogram_shape, **_sizes(layout, num_heads, path), **kwargs)
    positions = np.asarray(layout.backbone["pos_embed"])
    wanted = backbone.grid_shape
    if layout.num_patches != wanted[0] * wanted[1]:
        grid = stored_grid or layout.grid_as_read(path)
        _check_grid(layout, grid, path)
        positions = ops.convert_to_numpy(resample_positions(positions, grid, wanted))
    assign_all(backbone_entries(backbone), {**layout.backbone, "pos_embed": positions}, path)
    return backbone


def _check_grid(layout, grid, path):
    if layout.num_patches != grid[0] * grid[1]:
        raise ValueError(
            f"{path} holds positions of {layout.num_patches} patches, not of a grid of "
            f"{grid[0]} x {grid[1]}. Give the right `stored_grid`."
        )


def _trained_shape(layout, grid):
    if layout.kind == "event_detection":
        return PRETRAINED_SED_SHAPE
    if layout.kind == "image":
        return (592, NUM_MELS)
    return tuple(count * side for count, side in zip(grid, layout.patch_size))


def _sizes(layout, num_heads, path):
    state = layout.backbone
    width = state["cls_token"].shape[-1]
    if num_heads is None and width < 64:
        raise ValueError(
            f"{path} holds a network of width {width}, too narrow for heads of 64. Give "
            "`num_heads`."
        )
    blocks = {match[1] for match in map(re.compile(r"blocks\.(\d+)\.").match, state) if match}
    first = state.get("blocks.0.mlp.fc1.weight")
    if first is None:
        raise ValueError(f"The weights in {path} do not fit: blocks.0.mlp.fc1.weight is missing.")
    return {
        "patch_size": layout.patch_size,
        "num_layers": len(blocks),
        "num_heads": num_heads or width // 64,
        "hidden_dim": width,
        "mlp_dim": first.shape[0],
    }


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
    pretrainer = keras_asit.conversion.load_pretrainer("checkpoint.pth")
    ```
    """
    contents = read_pytorch_file(path)
    layouts = {name: recognise(contents, name, path) for name in ("student", "teacher")}
    student = layouts["student"]
    if student.kind not in ("first_generation", "second_generation"):
        raise ValueError(
            f"{path} is no training checkpoint: it holds no student and teacher. Use "
            "`load_backbone` to load its backbone."
        )
    backbone = build_backbone(student, path, num_heads=num_heads)
    sizes = _head_sizes(student, path)
    pretrainer = ASiTPretrainer(backbone, **_settings(student), **sizes)
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


def _settings(layout):
    """Return the arguments of a pretrainer that differ between the generations."""
    generation = GENERATIONS[1 if layout.kind == "first_generation" else 2]
    names = [name for name in generation if name == "trainable_gain" or "_loss_" in name]
    masking = GroupMasking(drop_ratio=generation["drop_ratio"], dtype="float32")
    return {"masking": masking} | {name: generation[name] for name in names}


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


def load_event_detector(path, spectrogram_shape=None, num_heads=None):
    """Load an `ASiTEventDetector` from a weak or strong file published with PretrainedSED.

    Args:
        path: str or path. The PyTorch file, such as ASIT_strong_1.pt.
        spectrogram_shape: pair of ints, (frames, mels) of a window. Defaults to `None`,
            `(998, 128)`, 10 seconds, which the weights are for.
        num_heads: int. Attention heads, which no file tells. Defaults to `None`, width // 64.

    Returns:
        An `ASiTEventDetector`.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if PyTorch is not installed.
        ValueError: if the file is damaged or holds no heads, holds anything but weights, or a
            weight is missing, surplus or of another shape.

    Example:

    ```python
    detector = keras_asit.conversion.load_event_detector("ASIT_strong_1.pt")
    ```
    """
    layout = recognise(read_pytorch_file(path), "teacher", path)
    missing = [name for name in ("strong_head", "weak_head") if f"{name}.bias" not in layout.heads]
    if missing:
        raise ValueError(
            f"{path} holds no {' and no '.join(missing)}; of the published files, the weak and "
            "the strong ones do. Use `load_backbone` to load its backbone."
        )
    backbone = build_backbone(layout, path, spectrogram_shape, num_heads)
    detector = ASiTEventDetector(
        backbone,
        num_strong_classes=layout.heads["strong_head.bias"].shape[0],
        num_weak_classes=layout.heads["weak_head.bias"].shape[0],
    )
    entries = dense_entries("strong_head", detector.strong_head)
    entries |= dense_entries("weak_head", detector.weak_head)
    assign_all(entries, layout.heads, path)
    return detector
