"""Models from PyTorch files."""

import os
import re

import numpy as np
from keras import ops

from keras_asit._arguments import as_pair
from keras_asit.conversion.pytorch_files import NUM_MELS, read_pytorch_file, recognize
from keras_asit.conversion.weight_names import (
    assign_all,
    backbone_weights,
    dense_weights,
    network_weights,
)
from keras_asit.layers import GroupMasking
from keras_asit.layers.patch_embedding import resample_positions
from keras_asit.models import (
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
    ASiTPretrainer,
)
from keras_asit.models.presets import GENERATIONS


def load_backbone(
    path: str | os.PathLike,
    *,
    weights: str = "teacher",
    spectrogram_shape: tuple[int, int] | None = None,
    num_heads: int | None = None,
    stored_grid: tuple[int, int] | None = None,
    **kwargs,
) -> ASiTBackbone:
    """Load an `ASiTBackbone` from a PyTorch file.

    The layout is recognized from the keys: training checkpoints of both generations of the
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
    stored = recognize(read_pytorch_file(path), path, weights)
    return _build_backbone(stored, spectrogram_shape, num_heads, stored_grid, **kwargs)


def load_pretrainer(path: str | os.PathLike, *, num_heads: int | None = None) -> ASiTPretrainer:
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
    student = recognize(contents, path, "student")
    if not student.layout.endswith("generation"):
        raise ValueError(
            f"{path} is no training checkpoint: it holds no student and teacher. Use "
            "`load_backbone` to load its backbone."
        )
    backbone = _build_backbone(student, num_heads=num_heads)
    pretrainer = ASiTPretrainer(backbone, **_settings(student))
    for stored, network in (
        (student, pretrainer.student),
        (recognize(contents, path, "teacher"), pretrainer.teacher),
    ):
        heads = _without_unit_gains(stored)
        state = {f"backbone.{name}": value for name, value in stored.backbone.items()}
        assign_all(network_weights(network), state | heads, path)
    names = ("loss_cls", "loss_data")
    if student.layout == "second_generation":
        names = ("CLS_PATCH_loss", "CLS_PATCH_loss")
    for name, loss in zip(names, (pretrainer.global_distillation, pretrainer.local_distillation)):
        _assign_center(loss, contents, path, name)
    return pretrainer


def load_event_detector(
    path: str | os.PathLike,
    *,
    spectrogram_shape: tuple[int, int] | None = None,
    num_heads: int | None = None,
) -> ASiTEventDetector:
    """Load an `ASiTEventDetector` from a weak or strong file published with PretrainedSED.

    Args:
        path: str or path. The PyTorch file, such as ASIT_strong_1.pt.
        spectrogram_shape: pair of ints, (frames, mels) of a window. Defaults to `None`,
            `(998, 128)`, 10 seconds, which the weights are for.
        num_heads: int. Attention heads, which no file tells. Defaults to `None`, width // 64.

    Returns:
        An `ASiTEventDetector` of waveforms at 16 kHz.

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
    stored = recognize(read_pytorch_file(path), path)
    missing = [name for name in ("strong_head", "weak_head") if f"{name}.bias" not in stored.heads]
    if missing:
        raise ValueError(
            f"{path} holds no {' and no '.join(missing)}; of the published files, the weak and "
            "the strong ones do. Use `load_backbone` to load its backbone."
        )
    backbone = _build_backbone(stored, spectrogram_shape, num_heads)
    frames, mels = backbone.spectrogram_shape
    detector = ASiTEventDetector(
        backbone,
        preprocessor=ASiTAudioClassifierPreprocessor(ASiTAudioConverter(16000, frames, mels)),
        num_strong_classes=stored.heads["strong_head.bias"].shape[0],
        num_weak_classes=stored.heads["weak_head.bias"].shape[0],
    )
    weights = dense_weights("strong_head", detector.strong_head)
    weights |= dense_weights("weak_head", detector.weak_head)
    assign_all(weights, stored.heads, path)
    return detector


def _build_backbone(stored, spectrogram_shape=None, num_heads=None, stored_grid=None, **kwargs):
    """Return the `ASiTBackbone` of a `StoredNetwork`."""
    if stored_grid is not None:
        stored_grid = as_pair("stored_grid", stored_grid)
        _check_grid(stored, stored_grid)
    if spectrogram_shape is None:
        spectrogram_shape = _trained_shape(stored, stored_grid)
    backbone = ASiTBackbone(spectrogram_shape, **_sizes(stored, num_heads), **kwargs)
    positions = np.asarray(stored.backbone["pos_embed"])
    wanted = backbone.grid_shape
    if stored.num_patches != wanted[0] * wanted[1]:
        grid = stored_grid or stored.grid_as_read()
        _check_grid(stored, grid)
        positions = ops.convert_to_numpy(resample_positions(positions, grid, wanted))
    state = {**stored.backbone, "pos_embed": positions}
    assign_all(backbone_weights(backbone), state, stored.path)
    return backbone


def _check_grid(stored, grid):
    if stored.num_patches != grid[0] * grid[1]:
        raise ValueError(
            f"{stored.path} holds positions of {stored.num_patches} patches, not of a grid of "
            f"{grid[0]} x {grid[1]}. Give the right `stored_grid`."
        )


def _trained_shape(stored, grid):
    shapes = {"event_detection": (998, NUM_MELS), "image": (592, NUM_MELS)}
    grid = grid or stored.grid()
    learned = tuple(count * side for count, side in zip(grid, stored.patch_size))
    return shapes.get(stored.layout, learned)


def _sizes(stored, num_heads):
    width = stored.weight("cls_token").shape[-1]
    if num_heads is None and width < 64:
        raise ValueError(
            f"{stored.path} holds a network of width {width}, too narrow for heads of 64. Give "
            "`num_heads`."
        )
    blocks = (re.match(r"blocks\.(\d+)\.", name) for name in stored.backbone)
    return {
        "patch_size": stored.patch_size,
        "num_layers": len({match[1] for match in blocks if match}),
        "num_heads": num_heads or width // 64,
        "hidden_dim": width,
        "mlp_dim": stored.weight("blocks.0.mlp.fc1.weight").shape[0],
    }


def _settings(stored):
    """Return arguments of the pretrainer: sizes of heads, and what differs in its generation."""
    first = stored.layout == "first_generation"
    generation = GENERATIONS[1 if first else 2]
    names = [name for name in generation if name == "trainable_gain" or "_loss_" in name]
    head, class_layer = ("head_cls", "cls_layer") if first else ("head", "last_layer")
    layers = {
        "num_class_prototypes": f"{head}.{class_layer}.weight_v",
        "projection_hidden_dim": f"{head}.mlp.0.weight",
        "projection_bottleneck_dim": f"{head}.mlp.4.weight",
        "reconstruction_hidden_dim": "head_recons.mlp.0.weight",
        "reconstruction_bottleneck_dim": "head_recons.mlp.4.weight",
    }
    patches = stored.weight("head_cls.data_layer.weight_v").shape[0] if first else None
    return {
        "masking": GroupMasking(drop_ratio=generation["drop_ratio"], dtype="float32"),
        "num_patch_prototypes": patches,
        **{name: generation[name] for name in names},
        **{name: stored.weight(layer).shape[0] for name, layer in layers.items()},
    }


def _without_unit_gains(stored):
    if stored.layout == "second_generation":
        return stored.heads
    # The first generation fixes the norm of prototypes at 1, yet stores it.
    gains = [name for name in stored.heads if name.endswith(".weight_g")]
    for name in gains:
        if not np.all(np.asarray(stored.heads[name]) == 1):
            raise ValueError(
                f"The weights in {stored.path} do not fit: {name} is not 1 throughout."
            )
    return {name: value for name, value in stored.heads.items() if name not in gains}


def _assign_center(loss, contents, path, name):
    center = contents.get(name, {}).get("center")
    if center is None or center.numel() != loss.center.shape[0]:
        raise ValueError(
            f"The weights in {path} do not fit: {name}.center is missing or not of "
            f"{loss.center.shape[0]} values."
        )
    loss.center.assign(np.asarray(center).reshape(loss.center.shape))
