"""Backbones to PyTorch files."""

import argparse
import os
import warnings

from keras_asit._arguments import check_choice, check_instance
from keras_asit._files import replacing
from keras_asit.conversion.pytorch_files import NUM_MELS, import_torch
from keras_asit.conversion.weight_names import backbone_weights
from keras_asit.models import ASiTBackbone


def export_backbone(
    backbone: ASiTBackbone, path: str | os.PathLike, *, layout: str = "module"
) -> None:
    """Write an `ASiTBackbone` to a PyTorch file that the original code loads.

    The inverse of `load_backbone`, exact to the bit. The file appears whole or not at all. It
    tells neither a stride of patches nor, but for `"training"`, other than 128 mel bins; a warning
    says what to load such a one with.

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
    torch = import_torch()
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
