"""PyTorch files: written, read without running what is in them, and recognized by their keys."""

import argparse
import dataclasses
import os
import pickle
import warnings
import zipfile
from pathlib import Path

from keras_asit._arguments import as_pair, check_choice, check_instance
from keras_asit._extras import of_extra
from keras_asit._files import replacing
from keras_asit.conversion.weight_names import backbone_weights, timm_names
from keras_asit.models import ASiTBackbone

# The mel bins that the original code reads, where a file does not say.
NUM_MELS = 128
# PretrainedSED's code reads the 37 x 8 stored positions as 8 x 37 whenever it interpolates them.
PRETRAINED_SED_GRID = (8, 37)


def export_backbone(
    backbone: ASiTBackbone, path: str | os.PathLike, *, layout: str = "module"
) -> None:
    """Write an `ASiTBackbone` to a PyTorch file that the original code loads.

    The inverse of `load_backbone`, exact to the bit. The file tells neither a stride of patches
    nor, but for `"training"`, other than 128 mel bins; a warning says what to load it with.

    Args:
        backbone: an `ASiTBackbone`.
        path: str or path. The PyTorch file to write.
        layout: `"module"`, the state dict of the original's `VisionTransformer`; `"training"`, a
            training checkpoint without heads, with the backbone as both student and teacher; or
            `"published"`, as PretrainedSED's self-supervised file. Defaults to `"module"`.

    Raises:
        ImportError: if PyTorch is not installed.
        ValueError: if it is not an `ASiTBackbone`, or is quantized.

    Example:
    ```python
    backbone = keras_asit.models.ASiTBackbone.from_preset("runs/small/teacher")
    keras_asit.conversion.export_backbone(backbone, "asit_small.pth")
    ```
    """
    check_choice("layout", layout, ("module", "training", "published"))
    check_instance("backbone", backbone, ASiTBackbone)
    if any(str(weight.dtype).startswith("int") for weight in backbone.weights):
        raise ValueError(
            "A quantized backbone cannot be exported. Export it before `quantize` is called."
        )
    with of_extra("torch"):
        import torch

    weights = backbone_weights(backbone).items()
    state = {name: torch.from_numpy(weight.read()) for name, weight in weights}
    num_mels = backbone.spectrogram_shape[1]
    with replacing(path) as partial:
        torch.save(_arrange(state, layout, num_mels), partial)

    untold = {}
    if backbone.patch_stride != backbone.patch_size:
        untold["patch_stride"] = backbone.patch_stride
    if untold or (layout != "training" and num_mels != NUM_MELS):
        untold["spectrogram_shape"] = backbone.spectrogram_shape
        described = ", ".join(f"{name}={value}" for name, value in untold.items())
        warnings.warn(
            f"{path} cannot tell the shape of its patches: load it with {described}.", stacklevel=2
        )


def _arrange(state, layout, num_mels):
    if layout == "published":
        return {f"model.{name}": value for name, value in state.items()}
    if layout == "training":
        return {
            "student": {f"module.backbone.{name}": value for name, value in state.items()},
            "teacher": {f"backbone.{name}": value for name, value in state.items()},
            "args": argparse.Namespace(num_mel_bins=num_mels),
        }
    return state


def read_pytorch_file(path):
    """Return what `torch.save` wrote, tensors on the CPU; only data is accepted, no code.

    An `argparse.Namespace` is allowed, which the original code keeps its command line in.
    """
    with of_extra("torch"):
        import torch

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    # Mapped into memory, only the weights that are used are read; old files cannot be mapped.
    mmap = zipfile.is_zipfile(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is no PyTorch file of plain weights, and nothing in it was run. It is of "
            "another kind, or holds objects other than tensors, containers and an "
            f"argparse.Namespace. PyTorch says: {str(error).splitlines()[0]}"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged or cut short, or no PyTorch file; obtain it anew. PyTorch says: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


def _read_safetensors(path):
    with of_extra("torch"):
        import safetensors.torch
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error


@dataclasses.dataclass
class StoredNetwork:
    """A network's weights in a file, by their names in the original code.

    The layout is `"first_generation"` or `"second_generation"` (training checkpoints),
    `"self_supervised"` or `"event_detection"` (PretrainedSED's), `"image"` (a vision transformer of
    images) or `"backbone"` (of `export_backbone`). Heads are all that stands on a backbone.
    """

    path: str
    layout: str
    backbone: dict
    heads: dict
    num_mels: int = NUM_MELS

    @property
    def patch_size(self):
        return tuple(self.backbone["patch_embed.proj.weight"].shape[2:])

    @property
    def num_patches(self):
        return self.backbone["pos_embed"].shape[1] - 1

    def grid(self, given=None):
        """Return the patches along time and along mel that positions are interpolated from."""
        columns = self.num_mels // self.patch_size[1]
        if given is not None:
            grid = as_pair("stored_grid", given)
        elif self.layout == "event_detection":
            grid = PRETRAINED_SED_GRID
        elif self.layout == "image":
            grid = (round(self.num_patches**0.5),) * 2
        else:
            grid = (self.num_patches // max(1, columns), columns)
        if grid[0] * grid[1] != self.num_patches:
            raise ValueError(
                f"{self.path} holds positions of {self.num_patches} patches, not of a grid of "
                f"{grid[0]} x {grid[1]}. Give `stored_grid`, the patches along time and along mel, "
                "or the `spectrogram_shape` and `patch_stride` that they are stored for."
            )
        return grid

    def trained_shape(self, grid=None):
        """Return the frames and mels that the network was trained for, given its grid."""
        if self.layout in ("event_detection", "image"):
            return (998 if self.layout == "event_detection" else 592, NUM_MELS)
        return tuple(count * side for count, side in zip(grid or self.grid(), self.patch_size))

    def weight(self, name):
        """Return a weight of the backbone or a head, or raise `ValueError`."""
        weight = self.heads.get(name, self.backbone.get(name))
        if weight is None:
            raise ValueError(f"The weights in {self.path} do not fit: {name} is missing.")
        return weight


def recognize(contents, path, weights="teacher"):
    """Return the `StoredNetwork` in what the file at `path` holds."""
    check_choice("weights", weights, ("teacher", "student"))
    if isinstance(contents, dict):
        if {"student", "teacher"} <= contents.keys():
            return _training_checkpoint(contents, path, weights)
        if "model.cls_token" in contents:
            backbone, heads = _split(contents, "model.")
            layout = "event_detection" if heads else "self_supervised"
            return StoredNetwork(path, layout, backbone, heads)
        state = timm_names(contents.get("model", contents))
        if isinstance(state, dict) and "cls_token" in state and _has_patches(state):
            return _vision_transformer(state, path)
    found = list(contents)[:5] if isinstance(contents, dict) else type(contents).__name__
    raise ValueError(
        f"{path} is of no known layout. Accepted are training checkpoints of ASiT ('student' and "
        "'teacher'), PretrainedSED's files ('model.cls_token', ...), and vision transformers of "
        "timm ('cls_token', 'patch_embed.proj.weight', ...) and transformers "
        "('vit.embeddings.cls_token', 'deit.embeddings.cls_token', ...). Its keys begin with: "
        f"{found}"
    )


def _training_checkpoint(contents, path, weights):
    state = {name.removeprefix("module."): value for name, value in contents[weights].items()}
    backbone, heads = _split(state, "backbone.")
    if not _has_patches(backbone):
        raise ValueError(f"{path} holds no weights of a backbone under {weights!r}.")
    first = any(name.startswith("head_cls.") for name in heads)
    layout = "first_generation" if first else "second_generation"
    # A command line: an `argparse.Namespace`, the dict of one, or none.
    settings = contents.get("args")
    settings = settings if isinstance(settings, dict) else getattr(settings, "__dict__", {})
    num_mels = settings.get("num_mel_bins", NUM_MELS)
    return StoredNetwork(path, layout, backbone, heads, num_mels)


def _vision_transformer(state, path):
    heads, backbone = _split(state, "head.")
    kernel = backbone["patch_embed.proj.weight"]
    # A spectrogram is a gray image: the same in all channels.
    backbone["patch_embed.proj.weight"] = kernel.sum(1, keepdims=True)
    if backbone.pop("dist_token", None) is not None:
        # DeiT's second token and its position, which serve the head of its teacher, are left out:
        # ASiT has [CLS] alone, and no block has ever seen an average of the two.
        positions = backbone["pos_embed"]
        backbone["pos_embed"] = positions[:, [0, *range(2, positions.shape[1])]]
        heads_of_teacher, backbone = _split(backbone, "head_dist.")
        heads |= heads_of_teacher
    return StoredNetwork(path, "backbone" if kernel.shape[1] == 1 else "image", backbone, heads)


def _has_patches(state):
    return "patch_embed.proj.weight" in state and "pos_embed" in state


def _split(state, prefix):
    """Return the weights under a prefix, without it, and the others."""
    inside = {name: value for name, value in state.items() if name.startswith(prefix)}
    outside = {name: value for name, value in state.items() if name not in inside}
    return {name.removeprefix(prefix): value for name, value in inside.items()}, outside
