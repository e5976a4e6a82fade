"""Frame-level scores of a recording of any length."""

import numpy as np
from keras import ops

from keras_asit.arguments import check_number, check_positive_integer
from keras_asit.models import ASiTAudioConverter, ASiTEventDetector
from keras_asit.waveforms import as_waveform


def score_recording(detector, converter, waveform, overlap=0.5, batch_size=8):
    """Score a recording of any length by overlapping windows.

    Windows are those of the detector; the last one is padded with silence. Where windows
    overlap, probabilities are averaged, each weighted by its distance from its window's edges.

    Args:
        detector: an `ASiTEventDetector`.
        converter: an `ASiTAudioConverter` with the mel bins and frames of the detector.
        waveform: array of shape `(samples,)` in [-1, 1], at the converter's sample rate.
        overlap: float in [0, 0.9]. The share of a window that the next one covers again.
            Defaults to `0.5`.
        batch_size: int. Windows scored at once. Defaults to `8`.

    Returns:
        A float32 array of probabilities, `(steps, num_strong_classes)`; a step lasts
        `detector.window_seconds / detector.num_steps`.

    Raises:
        ValueError: if an argument does not fit, or the waveform is empty or not finite.

    Example:

    ```python
    backbone = keras_asit.models.ASiTBackbone(
        (998, 128), num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
    )
    detector = keras_asit.models.ASiTEventDetector(backbone, num_strong_classes=7)
    converter = keras_asit.models.ASiTAudioConverter(num_frames=998)
    waveform = np.random.uniform(-1, 1, 25 * 16000)
    scores = keras_asit.events.score_recording(detector, converter, waveform)  # (625, 7)
    ```
    """
    _check(detector, converter)
    check_number("overlap", overlap, 0, 0.9)
    check_positive_integer("batch_size", batch_size)
    waveform = as_waveform(waveform)
    samples_per_step = detector.window_seconds * converter.sample_rate / detector.num_steps
    total = int(np.ceil(len(waveform) / samples_per_step))
    hop = max(1, round(detector.num_steps * (1 - overlap)))
    starts = range(0, max(1, total - detector.num_steps + hop), hop)
    length = round(detector.window_seconds * converter.sample_rate)
    sums = np.zeros((starts[-1] + detector.num_steps, detector.num_strong_classes))
    weights = np.zeros((len(sums), 1))
    weight = _triangle(detector.num_steps)[:, None]
    for first in range(0, len(starts), batch_size):
        batch = starts[first : first + batch_size]
        windows = [_cut(waveform, round(start * samples_per_step), length) for start in batch]
        logits = detector.predict_on_batch(converter(np.stack(windows)))["strong"]
        for start, window in zip(batch, ops.convert_to_numpy(ops.sigmoid(logits))):
            sums[start : start + len(window)] += window * weight
            weights[start : start + len(window)] += weight
    return (sums / weights)[:total].astype("float32")


def _check(detector, converter):
    if not isinstance(detector, ASiTEventDetector):
        raise ValueError(
            f"`detector` must be an ASiTEventDetector. Received: {type(detector).__name__}"
        )
    if not isinstance(converter, ASiTAudioConverter):
        raise ValueError(
            f"`converter` must be an ASiTAudioConverter. Received: {type(converter).__name__}"
        )
    shape = detector.backbone.spectrogram_shape
    if converter.audio_shape() != shape:
        raise ValueError(
            f"The detector reads spectrograms of {shape} (frames, mels), but the converter makes "
            f"{converter.audio_shape()}. Make a converter with num_frames={shape[0]} and "
            f"num_mels={shape[1]}."
        )


def _cut(waveform, start, length):
    window = waveform[start : start + length]
    return np.pad(window, (0, length - len(window)))


def _triangle(num_steps):
    # A step near an edge of its window has seen the sound on one side only.
    positions = np.arange(num_steps) + 0.5
    return np.minimum(positions, num_steps - positions)
