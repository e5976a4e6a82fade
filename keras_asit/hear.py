"""The common API of HEAR 2021: a preset as a general embedding of sounds.

`hear-validator keras_asit.hear -m PRESET` and HEAR's evaluation kit take this module as it is.
Audio and embeddings are tensors of PyTorch, TensorFlow or JAX, or arrays: embeddings come as what
the audio came in, whichever backend computes them.

Reference: Turian et al., "HEAR: Holistic Evaluation of Audio Representations", arXiv 2203.03022;
https://hearbenchmark.com/hear-api.html.
"""

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_asit._arguments import as_waveforms
from keras_asit.evaluation.windows import average_windows, window_starts
from keras_asit.layers import FramePooling
from keras_asit.models import ASiTAudioConverter, ASiTBackbone

# HEAR knows modules of two frameworks; under JAX, TensorFlow's stands in.
if keras.config.backend() == "torch":
    from torch.nn import Module
else:
    from tensorflow import Module  # type: ignore[no-redef]

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

DEFAULT_PRESET = "asit_base_16k_audioset"
# HEAR asks for timestamps at most 50 ms apart; a frame is 10 ms.
MAX_INTERVAL_FRAMES = 5
BATCH_SIZE = 32


class HearModel(Module):
    """What HEAR calls a model: an ASiT backbone with two poolings of its tokens.

    A scene embedding is what `backbone.feature_model()` makes of a sound; a timestamp embedding
    is the patch tokens of a time step, one mel row beside the other.

    Args:
        backbone: an `ASiTBackbone`.
        converter: an `ASiTAudioConverter` with the backbone's frames and mel bins.
    """

    def __init__(self, backbone: ASiTBackbone, converter: ASiTAudioConverter):
        super().__init__()
        steps = FramePooling(backbone.grid_shape[1], "mel_rows")(backbone.output)
        self.backbone = backbone
        self.converter = converter
        self.scene_model = backbone.feature_model()
        self.timestamp_model = keras.Model(backbone.input, steps)
        self.sample_rate = converter.sample_rate
        self.scene_embedding_size = self.scene_model.output_shape[-1]
        self.timestamp_embedding_size = steps.shape[-1]
        # The first patch begins before the sound, by whole frames, so that its center is the
        # first in the sound.
        shift, window = converter.filterbank.shift, converter.filterbank.window
        center = ((backbone.patch_size[0] - 1) * shift + window) // 2
        self.lead_frames, self.first_sample = divmod(center, shift)
        lengths = range(1, MAX_INTERVAL_FRAMES + 1)
        self.interval_frames = max(n for n in lengths if backbone.patch_stride[0] % n == 0)


def load_model(model_file_path: str = "") -> HearModel:
    """Load a preset for HEAR.

    Args:
        model_file_path: str. A preset: a folder, a built-in name or a handle. Defaults to `""`,
            `"asit_base_16k_audioset"`.

    Returns:
        A `HearModel`: under PyTorch a `torch.nn.Module`, else a `tf.Module`.

    Example:
    ```python
    from keras_asit import hear

    model = hear.load_model("runs/small/teacher")
    ```
    """
    preset = model_file_path or DEFAULT_PRESET
    backbone = ASiTBackbone.from_preset(preset)
    frames, mels = backbone.spectrogram_shape
    converter = ASiTAudioConverter.from_preset(preset, num_frames=frames, num_mels=mels)
    return HearModel(backbone, converter)


def get_scene_embeddings(audio: ArrayLike, model: HearModel) -> ArrayLike:
    """Return one embedding for each sound, averaged over windows that cover it.

    Args:
        audio: tensor or array of shape `(sounds, samples)`, float in [-1, 1], at
            `model.sample_rate`.
        model: what `load_model` returned.

    Returns:
        A float32 tensor or array of shape `(sounds, model.scene_embedding_size)`.

    Raises:
        ValueError: if the audio has another shape or type, or is not finite or out of range.

    Example:
    ```python
    embeddings = hear.get_scene_embeddings(np.zeros((2, 160000), "float32"), model)
    ```
    """
    waveforms = _as_array(audio, model)
    length = round(model.converter.seconds * model.sample_rate)
    # Shorter sounds get silence, which the log-mels of padding are not.
    silence = max(0, length - waveforms.shape[1])
    waveforms = np.pad(waveforms, [(0, 0), (0, silence)])
    starts = window_starts(waveforms.shape[1], length)
    windows = (model.converter(waveforms[:, start : start + length]) for start in starts)
    embeddings = [_predict(model.scene_model, window) for window in windows]
    return _as_tensor(np.mean(embeddings, axis=0), audio)


def get_timestamp_embeddings(audio: ArrayLike, model: HearModel) -> tuple[ArrayLike, ArrayLike]:
    """Return embeddings over time, 40 ms apart for patches of 16 frames.

    Patches that do not overlap are further apart. The network therefore reads the spectrogram
    several times, each time shifted by a fraction of a patch, and the embeddings are
    interleaved; where windows overlap, they are averaged.

    Args:
        audio, model: as `get_scene_embeddings` takes them.

    Returns:
        A tuple of float32 tensors or arrays: embeddings, of shape
        `(sounds, timestamps, model.timestamp_embedding_size)`, and the times of the centers of
        their patches in milliseconds, `(sounds, timestamps)`.

    Example:
    ```python
    audio = np.zeros((2, 160000), "float32")
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    ```
    """
    waveforms = _as_array(audio, model)
    interval = model.interval_frames * model.converter.filterbank.shift
    number = 1 + max(0, waveforms.shape[1] - model.first_sample) // interval
    times = (model.first_sample + interval * np.arange(number)) * (1000 / model.sample_rate)
    times = np.tile(times.astype("float32"), (len(waveforms), 1))
    return _as_tensor(_embed_intervals(waveforms, model, number), audio), _as_tensor(times, audio)


def _embed_intervals(waveforms, model, number):
    """Return the embeddings of a number of intervals, `(sounds, number, width)`."""
    frames, stride = model.backbone.spectrogram_shape[0], model.backbone.patch_stride[0]
    steps, shifts = model.backbone.grid_shape[0], range(0, stride, model.interval_frames)
    starts = window_starts(-(-number // len(shifts)), steps)
    num_frames = starts[-1] * stride + shifts[-1] + frames - model.lead_frames
    spectrograms = keras.ops.convert_to_numpy(model.converter(waveforms, num_frames=num_frames))
    # In front, as much silence as the lead has, of what the converter pads with behind.
    lead = np.zeros((len(waveforms), model.lead_frames, spectrograms.shape[2]), "float32")
    lead = keras.ops.convert_to_numpy(model.converter.normalize(lead))
    spectrograms = np.concatenate([lead, spectrograms], axis=1)

    windows = []
    for start in starts * stride:
        shifted = [spectrograms[:, start + shift :][:, :frames] for shift in shifts]
        embeddings = _predict(model.timestamp_model, np.concatenate(shifted))
        embeddings = embeddings.reshape(len(shifts), len(waveforms), steps, -1)
        windows.append(np.concatenate(embeddings.transpose(2, 0, 1, 3)))  # Shifts in turn.
    weights = np.ones(steps * len(shifts))
    return average_windows(windows, starts * len(shifts), weights)[:number].swapaxes(0, 1)


def _predict(model, spectrograms):
    # `predict` would take longer to set up than a small network takes to run.
    starts = range(0, len(spectrograms), BATCH_SIZE)
    batches = [model.predict_on_batch(spectrograms[start : start + BATCH_SIZE]) for start in starts]
    return np.concatenate(batches).astype("float32")


def _as_array(audio, model):
    if not isinstance(model, HearModel):
        name = type(model).__name__
        raise ValueError(f"`model` must be what `load_model` returned. Received: {name}")
    return as_waveforms(audio.detach().cpu().numpy() if _framework(audio) == "torch" else audio)


def _as_tensor(array, like):
    """Return an array as a tensor of the framework, and on the device, of another tensor."""
    framework = _framework(like)
    if framework == "torch":
        import torch

        return torch.from_numpy(array).to(like.device)
    if framework == "tensorflow":
        import tensorflow as tf

        return tf.convert_to_tensor(array)
    if framework in ("jax", "jaxlib"):
        import jax

        return jax.numpy.asarray(array)
    return array


def _framework(tensor):
    return type(tensor).__module__.partition(".")[0]
