"""Models from PyTorch files."""

import os
import re

import numpy as np
from keras import ops

from keras_asit.conversion.pytorch_files import read_pytorch_file, recognize
from keras_asit.conversion.weight_names import (
    assign_all,
    backbone_weights,
    dense_weights,
    network_weights,
)
from keras_asit.layers import GroupMasking
from keras_asit.layers.patch_embedding import resample_positions
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
    ASiTPretrainer,
)
from keras_asit.models.presets import CONVERSIONS, GENERATIONS, PRESETS, audioset_names

# The original's names of the losses that keep the centers, of [CLS] and of patches.
CENTERS = {
    "first_generation": ("loss_cls", "loss_data"),
    "second_generation": ("CLS_PATCH_loss", "CLS_PATCH_loss"),
}


def load_backbone(
    path: str | os.PathLike | dict,
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
    vision transformers of images, ViT and DeiT, as the libraries timm and transformers name them
    (whose patch kernel is summed over RGB; DeiT's distillation token is left out). Sizes come from
    the shapes. What stands on the backbone (heads, classifiers) is left out.

    The weak and strong files of PretrainedSED were trained by code that reads their 37 x 8
    positions as 8 x 37 wherever it interpolates them: at other than 592 frames. Their backbones
    are therefore made for 10 seconds, 998 frames, by default, with positions read that way. The
    self-supervised file was trained at 592 frames: its positions are read as learned, 37 x 8.

    Args:
        path: str or path. The PyTorch file, or a `.safetensors` file; or the state dict itself, of
            tensors or arrays.
        weights: str. Which network of a training checkpoint, `"teacher"` or `"student"`. Defaults
            to `"teacher"`.
        spectrogram_shape: pair of ints, (frames, mels), that positions are interpolated for,
            unless they are as many. Defaults to `None`, the one that they were trained for, of 128
            mel bins where the file does not say; `(592, 128)` for images' and `(998, 128)` for
            PretrainedSED's weak and strong files.
        num_heads: int. Attention heads, which no file tells. Defaults to `None`, width // 64.
        stored_grid: pair of ints. The patches along time and along mel that positions are
            interpolated from, where not as above. Defaults to `None`.
        **kwargs: Other arguments of `ASiTBackbone`: `patch_stride`, `drop_path_rate`, `dtype`.

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
    is_read = isinstance(path, dict)
    contents, name = (path, "the state dict") if is_read else (read_pytorch_file(path), path)
    stored = recognize(contents, name, weights)
    return _build_backbone(stored, spectrogram_shape, num_heads, stored_grid, **kwargs)


def load_pretrainer(path: str | os.PathLike, *, num_heads: int | None = None) -> ASiTPretrainer:
    """Load an `ASiTPretrainer` from a training checkpoint of the original PyTorch code.

    Student, teacher, both heads of each and the centers are loaded; the optimizer's state and
    the epoch are not. A checkpoint of the second generation, whose two losses share one center,
    becomes a pretrainer with that generation's masking, shared head and loss weights.

    Args:
        path, num_heads: as in `load_backbone`.

    Returns:
        An `ASiTPretrainer`, to be compiled.

    Raises:
        ValueError: if it is no training checkpoint; and as `load_backbone`.

    Example:
    ```python
    pretrainer = keras_asit.conversion.load_pretrainer("checkpoint.pth")
    ```
    """
    contents = read_pytorch_file(path)
    student = recognize(contents, path, "student")
    if student.layout not in CENTERS:
        raise ValueError(
            f"{path} is no training checkpoint: it holds no student and teacher. Use "
            "`load_backbone` to load its backbone."
        )
    pretrainer = ASiTPretrainer(_build_backbone(student, num_heads=num_heads), **_settings(student))
    _assign_network(pretrainer.student, student)
    _assign_network(pretrainer.teacher, recognize(contents, path, "teacher"))
    losses = (pretrainer.global_distillation, pretrainer.local_distillation)
    for name, loss in zip(CENTERS[student.layout], losses):
        center = contents.get(name, {}).get("center")
        if center is None or center.numel() != loss.center.shape[0]:
            raise ValueError(
                f"The weights in {path} do not fit: {name}.center is missing or not of "
                f"{loss.center.shape[0]} values."
            )
        loss.center.assign(np.asarray(center).reshape(loss.center.shape))
    return pretrainer


def load_event_detector(
    path: str | os.PathLike,
    *,
    spectrogram_shape: tuple[int, int] | None = None,
    num_heads: int | None = None,
) -> ASiTEventDetector:
    """Load an `ASiTEventDetector` from a strong file published with PretrainedSED.

    Args:
        path, spectrogram_shape, num_heads: as in `load_backbone`.

    Returns:
        An `ASiTEventDetector` of waveforms at 16 kHz. If its classes are 447, `class_names` are
        those of AudioSet Strong.

    Raises:
        ValueError: if the file holds no heads; and as `load_backbone`.

    Example:
    ```python
    detector = keras_asit.conversion.load_event_detector("ASIT_strong_1.pt")
    ```
    """
    stored, (num_strong, num_weak) = _with_heads(path, "strong_head", "weak_head")
    detector = ASiTEventDetector(
        *_build_inputs(stored, spectrogram_shape, num_heads, num_strong),
        num_weak_classes=num_weak,
        class_names=audioset_names("events in time", num_strong),
    )
    weights = dense_weights("strong_head", detector.strong_head)
    weights |= dense_weights("weak_head", detector.weak_head)
    assign_all(weights, stored.heads, path)
    return detector


def load_classifier(
    path: str | os.PathLike,
    *,
    spectrogram_shape: tuple[int, int] | None = None,
    num_heads: int | None = None,
) -> ASiTAudioClassifier:
    """Load an `ASiTAudioClassifier` from a weak file published with PretrainedSED.

    Args:
        path, spectrogram_shape, num_heads: as in `load_backbone`.

    Returns:
        An `ASiTAudioClassifier` of waveforms at 16 kHz with the head for clips. If its classes are
        527, `class_names` are those of AudioSet, in the order of AudioSet's own file.

    Raises:
        ValueError: if the file holds no head for clips; and as `load_backbone`.

    Example:
    ```python
    classifier = keras_asit.conversion.load_classifier("ASIT_weak.pt")
    ```
    """
    stored, (number,) = _with_heads(path, "weak_head")
    classifier = ASiTAudioClassifier(
        *_build_inputs(stored, spectrogram_shape, num_heads, number),
        class_names=audioset_names("clips", number),
        multi_label=True,
        pooling="steps",
    )
    weights = dense_weights("weak_head", classifier.output_dense)
    head = {name: value for name, value in stored.heads.items() if name in weights}
    assign_all(weights, head, path)
    return classifier


def _with_heads(path, *names):
    """Return what a file holds, and the number of classes of each of some heads in it."""
    stored = recognize(read_pytorch_file(path), path)
    missing = [name for name in names if f"{name}.bias" not in stored.heads]
    if missing:
        raise ValueError(
            f"{path} holds no {' and no '.join(missing)}; of the published files, the weak and "
            "the strong ones do. Use `load_backbone` to load its backbone."
        )
    return stored, [stored.heads[f"{name}.bias"].shape[0] for name in names]


def _build_inputs(stored, spectrogram_shape, num_heads, num_classes):
    """Return the first arguments of a task: backbone, number of classes and preprocessor."""
    backbone = _build_backbone(stored, spectrogram_shape, num_heads)
    converter = ASiTAudioConverter(16000, *backbone.spectrogram_shape)
    return backbone, num_classes, ASiTAudioClassifierPreprocessor(converter)


LOADERS = {
    None: load_backbone,
    "ASiTAudioClassifier": load_classifier,
    "ASiTEventDetector": load_event_detector,
}


def convert_published_file(name, path, folder):
    """Write the built-in preset that is made of a published file, if it is one, to a folder."""
    preset = PRESETS[name]
    expected = preset["backbone"]
    try:
        model = LOADERS[preset["task"]](path, num_heads=expected["num_heads"])
        config = (model.backbone if preset["task"] else model).get_config()
        differing = {key: config[key] for key in expected if config[key] != expected[key]}
        if differing:
            raise ValueError(f"The network has {differing}, not those of {expected}.")
    except ValueError as error:
        raise ValueError(f"{path} is not the published file of {name!r}. {error}") from error
    metadata = preset["metadata"]
    description = f"{metadata['description']} Converted from {metadata['source']}."
    record = {"name": name, "description": description, "license": metadata["license"]}
    model.save_to_preset(folder, record=record)
    ASiTAudioConverter(**preset["converter"]).save_to_preset(str(folder))


CONVERSIONS[".pt"] = convert_published_file
CONVERSIONS["vit"] = load_backbone


def _build_backbone(stored, spectrogram_shape=None, num_heads=None, stored_grid=None, **kwargs):
    grid = None if stored_grid is None else stored.grid(stored_grid)
    if spectrogram_shape is None:
        spectrogram_shape = stored.trained_shape(grid)
    backbone = ASiTBackbone(spectrogram_shape, **_sizes(stored, num_heads), **kwargs)
    wanted = backbone.grid_shape
    state = dict(stored.backbone)
    if stored.num_patches != wanted[0] * wanted[1]:
        positions = np.asarray(state["pos_embed"])
        positions = resample_positions(positions, grid or stored.grid(), wanted)
        state["pos_embed"] = ops.convert_to_numpy(positions)
    assign_all(backbone_weights(backbone), state, stored.path)
    return backbone


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
    others = ("drop_ratio", "num_short_crops", "temperature_epochs")
    settings = {name: value for name, value in generation.items() if name not in others}
    head, class_layer = ("head_cls", "cls_layer") if first else ("head", "last_layer")
    layers = {
        "num_class_prototypes": f"{head}.{class_layer}.weight_v",
        "projection_hidden_dim": f"{head}.mlp.0.weight",
        "projection_bottleneck_dim": f"{head}.mlp.4.weight",
        "reconstruction_hidden_dim": "head_recons.mlp.0.weight",
        "reconstruction_bottleneck_dim": "head_recons.mlp.4.weight",
    }
    if first:
        layers["num_patch_prototypes"] = "head_cls.data_layer.weight_v"
    return {
        "masking": GroupMasking(drop_ratio=generation["drop_ratio"], dtype="float32"),
        **settings,
        **{name: stored.weight(layer).shape[0] for name, layer in layers.items()},
    }


def _assign_network(network, stored):
    state = {f"backbone.{name}": value for name, value in stored.backbone.items()} | stored.heads
    if stored.layout == "first_generation":
        # It fixes the norm of prototypes at 1, yet stores it.
        for name in [name for name in state if name.endswith(".weight_g")]:
            if not np.all(np.asarray(state.pop(name)) == 1):
                raise ValueError(
                    f"The weights in {stored.path} do not fit: {name} is not 1 throughout."
                )
    assign_all(network_weights(network), state, stored.path)
