"""Checks of what `ASiTPretrainer` is made of, and of the batches that it learns from."""

from keras_asit.models.audio_converter import ASiTAudioConverter
from keras_asit.models.backbone import ASiTBackbone

NAMES = ("clean", "short", "corrupted", "mask")


def check_backbone(backbone):
    """Raise `ValueError` unless patches of `backbone` tile its spectrogram."""
    if not isinstance(backbone, ASiTBackbone):
        raise ValueError(f"`backbone` must be an ASiTBackbone. Received: {type(backbone).__name__}")
    if any("/lora_" in variable.path or "int" in variable.dtype for variable in backbone.weights):
        raise ValueError(
            "A backbone with low-rank adaptation, or quantized, cannot be pre-trained. Give it "
            "before `enable_lora` or `quantize` is called."
        )
    grid_and_patch = zip(backbone.grid_shape, backbone.patch_size)
    tiled = tuple(number * side for number, side in grid_and_patch)
    if backbone.patch_stride != backbone.patch_size or tiled != backbone.spectrogram_shape:
        raise ValueError(
            "To be reconstructed, the spectrogram must be tiled by patches that do not overlap. "
            f"Received: spectrogram_shape={backbone.spectrogram_shape}, "
            f"patch_size={backbone.patch_size}, patch_stride={backbone.patch_stride}. Choose a "
            "spectrogram shape that is a multiple of the patch size."
        )


def check_converter(converter, backbone):
    """Raise `ValueError` unless `converter`, or `None`, fits `backbone`."""
    if converter is None:
        return
    if not isinstance(converter, ASiTAudioConverter):
        raise ValueError(
            f"`converter` must be an ASiTAudioConverter. Received: {type(converter).__name__}"
        )
    if converter.num_mels != backbone.spectrogram_shape[1]:
        raise ValueError(
            f"`converter` makes {converter.num_mels} mel bins, but the backbone "
            f"reads {backbone.spectrogram_shape[1]}. Make them equal."
        )


def check_batch_names(batch):
    """Raise `ValueError` unless `batch` is a dict with `"clean"` and no unknown names."""
    if not isinstance(batch, dict):
        raise ValueError(
            "A batch must be a dict with 'clean', (batch, 2, frames, mels), as "
            "`keras_asit.data.pretraining_dataset` makes them. Received: "
            f"{type(batch).__name__} of shape {getattr(batch, 'shape', None)}"
        )
    unknown = sorted(set(batch) - set(NAMES))
    if "clean" not in batch or unknown:
        raise ValueError(
            "A batch must hold 'clean', and besides it only 'short', 'corrupted' and 'mask'. "
            f"Received: {sorted(batch)}"
        )
    if ("corrupted" in batch) != ("mask" in batch):
        raise ValueError(
            f"A batch must hold 'corrupted' and 'mask' both or neither. Received: {sorted(batch)}"
        )


def check_samples(name, shape, converter, patch_frames):
    """Return how many frames, whole patches, waveforms of a shape fill, or raise `ValueError`."""
    if shape[-1] is None:
        raise ValueError(
            f"A batch's {name!r} must have waveforms of a length that is known beforehand; set it "
            f"with `tf.ensure_shape`. Received: shape={tuple(shape)}"
        )
    num_frames = converter.filterbank.num_frames(shape[-1])
    if num_frames < patch_frames:
        raise ValueError(
            f"A batch's {name!r} must have waveforms of at least {patch_frames} frames, those of a "
            f"patch. Received: shape={tuple(shape)}, {num_frames} frames"
        )
    return num_frames // patch_frames * patch_frames


def check_spectrograms(batch, backbone):
    """Raise `ValueError` unless the spectrograms of `batch` fit `backbone`."""
    shape = (2, *backbone.spectrogram_shape)
    for name in ("clean", "corrupted", "mask"):
        if name in batch and tuple(batch[name].shape[1:]) != shape:
            raise ValueError(
                f"A batch's {name!r} must have shape (batch, {', '.join(map(str, shape))}), "
                "two views of each clip in the backbone's `spectrogram_shape`. Received: "
                f"shape={tuple(batch[name].shape)}"
            )
    if "short" in batch:
        _check_short(tuple(batch["short"].shape), backbone)


def _check_short(shape, backbone):
    patch_frames, mels = backbone.patch_size[0], backbone.spectrogram_shape[1]
    frames = shape[2] if len(shape) == 4 else 0
    if len(shape) != 4 or shape[3] != mels or frames < patch_frames or frames % patch_frames:
        raise ValueError(
            f"A batch's 'short' must have shape (batch, crops, frames, {mels}), its frames a "
            f"multiple of {patch_frames}, those of a patch. Received: shape={shape}"
        )
