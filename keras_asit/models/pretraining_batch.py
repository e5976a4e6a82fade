"""Checks of what `ASiTPretrainer` is made of, and of the batches that it learns from."""

from keras import ops, tree

from keras_asit._arguments import check_instance
from keras_asit.layers import GroupMasking
from keras_asit.models.audio_converter import ASiTAudioConverter
from keras_asit.models.backbone import ASiTBackbone


def check_parts(backbone, masking, converter):
    """Raise `ValueError` unless patches tile the backbone's spectrogram and the others fit it."""
    check_instance("backbone", backbone, ASiTBackbone)
    if any("/lora_" in variable.path or "int" in variable.dtype for variable in backbone.weights):
        raise ValueError(
            "A backbone with low-rank adaptation, or quantized, cannot be pre-trained. Give it "
            "before `enable_lora` or `quantize` is called."
        )
    sides = zip(backbone.grid_shape, backbone.patch_size)
    tiled = tuple(number * side for number, side in sides)
    if backbone.patch_stride != backbone.patch_size or tiled != backbone.spectrogram_shape:
        raise ValueError(
            "The spectrogram must be tiled by patches that do not overlap; choose a shape that is "
            f"a multiple of theirs. Received: spectrogram_shape={backbone.spectrogram_shape}, "
            f"patch_size={backbone.patch_size}, patch_stride={backbone.patch_stride}"
        )
    if masking is not None:
        check_instance("masking", masking, GroupMasking)
    if converter is not None:
        check_instance("converter", converter, ASiTAudioConverter)
        if converter.num_mels != backbone.spectrogram_shape[1]:
            raise ValueError(
                f"`converter` makes {converter.num_mels} mel bins, but the backbone reads "
                f"{backbone.spectrogram_shape[1]}. Make them equal."
            )


def as_spectrograms(batch, backbone, converter):
    """Return a batch with spectrograms for waveforms; `ValueError` unless they fit the backbone."""
    check_names(batch)
    (frames, mels), patch_frames = backbone.spectrogram_shape, backbone.patch_size[0]
    spectrograms = {}
    for name, views in batch.items():
        if len(views.shape) == 3:
            num_frames = frames_of_waveforms(name, views.shape, converter, patch_frames)
            views = per_view(converter, views, num_frames=num_frames)
        shape = tuple(views.shape)
        if name == "short":
            crop = shape[2] if len(shape) == 4 and shape[3] == mels else None
            fits = bool(crop) and crop % patch_frames == 0
            wanted = f"(batch, crops, frames, {mels}), frames a multiple of {patch_frames}"
        else:
            fits = shape[1:] == (2, frames, mels)
            wanted = f"(batch, 2, {frames}, {mels}), two views in the `spectrogram_shape`"
        if not fits:
            raise ValueError(f"A batch's {name!r} must have shape {wanted}. Received: {shape}")
        spectrograms[name] = views
    return spectrograms


def check_names(batch):
    """Raise `ValueError` unless `batch` is a dict of what a batch may hold."""
    if not isinstance(batch, dict):
        raise ValueError(
            "A batch must be a dict with 'clean', (batch, 2, frames, mels), as "
            "`keras_asit.data.pretraining_dataset` makes them. Received: "
            f"{type(batch).__name__} of shape {getattr(batch, 'shape', None)}"
        )
    if set(batch) - {"short"} not in ({"clean"}, {"clean", "corrupted", "mask"}):
        raise ValueError(
            "A batch must hold 'clean', 'corrupted' and 'mask' both or neither, and besides only "
            f"'short'. Received: {sorted(batch)}"
        )


def frames_of_waveforms(name, shape, converter, patch_frames):
    """Return how many frames, whole patches, waveforms of a shape fill, or raise `ValueError`."""
    if converter is None:
        raise ValueError(
            f"A batch's {name!r} has shape {tuple(shape)}, that of waveforms. Give ASiTPretrainer "
            "a `converter`, or batches of spectrograms, (batch, views, frames, mels)."
        )
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
    return num_frames - num_frames % patch_frames


def per_view(network, views, **kwargs):
    """Run a network on (batch, views, ...) as one batch of all views."""
    num_views = views.shape[1]
    outputs = network(ops.reshape(views, (-1, *views.shape[2:])), **kwargs)
    return tree.map_structure(lambda x: ops.reshape(x, (-1, num_views, *x.shape[1:])), outputs)
