"""Backbones from PyTorch files."""

import re

import numpy as np
from keras import ops

from keras_asit.arguments import as_pair
from keras_asit.checkpoints import layout as layouts
from keras_asit.checkpoints.pytorch_file import read_pytorch_file
from keras_asit.checkpoints.state_dict import assign_all, backbone_entries
from keras_asit.layers.mlp import start_at_zero
from keras_asit.layers.patch_embedding import resample_positions
from keras_asit.models import ASiTBackbone


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
    backbone = keras_asit.checkpoints.load_backbone("ASIT_ssl.pt")
    ```
    """
    layout = layouts.recognise(read_pytorch_file(path), weights, path)
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
    with start_at_zero():
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
        return layouts.PRETRAINED_SED_SHAPE
    if layout.kind == "image":
        return (592, layouts.NUM_MELS)
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
