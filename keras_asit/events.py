"""From the scores of an `ASiTEventDetector` to events with onset, offset, label and score."""

import csv
from collections import namedtuple
from pathlib import Path

import numpy as np
from keras import ops

from keras_asit._arguments import as_waveform, check_number, check_positive_integer
from keras_asit.models import ASiTAudioConverter, ASiTEventDetector

Event = namedtuple("Event", ["onset", "offset", "label", "score"])
Event.__doc__ = "A sound event: onset and offset in seconds, label, and mean probability."


def find_events(scores, step_seconds, labels, threshold=0.5, median_steps=1, min_seconds=0.0):
    """Find the stretches of time where the score of a class exceeds a threshold.

    Args:
        scores: array of probabilities, `(steps, classes)`, as `score_recording` returns.
        step_seconds: float. Duration of a step in seconds, such as 0.04.
        labels: list of str, the names of the classes.
        threshold: float in [0, 1]. Defaults to `0.5`.
        median_steps: odd int. Length of the median filter over time that removes short gaps and
            peaks of what exceeds the threshold. Defaults to `1`, none.
        min_seconds: float. Shorter events are left out. Defaults to `0.0`.

    Returns:
        A list of `Event(onset, offset, label, score)`, by onset; the score is the mean
        probability over the event.

    Raises:
        ValueError: if an argument does not fit.

    Example:

    ```python
    scores = np.array([[0.1], [0.9], [0.8], [0.2]])
    keras_asit.events.find_events(scores, 0.04, ["dog"])  # dog from 0.04 to 0.12
    ```
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or scores.shape[1] != len(labels):
        raise ValueError(
            "`scores` must be of shape (steps, classes), with a label for each class. Received: "
            f"shape={scores.shape}, {len(labels)} labels"
        )
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError(
            "`scores` must be probabilities, between 0 and 1, as `score_recording` returns them. "
            f"Received: scores from {scores.min():g} to {scores.max():g}"
        )
    check_number("step_seconds", step_seconds, 1e-6)
    check_number("threshold", threshold, 0, 1)
    check_number("min_seconds", min_seconds, 0)
    check_positive_integer("median_steps", median_steps)
    if median_steps % 2 == 0:
        raise ValueError(f"`median_steps` must be odd. Received: median_steps={median_steps}")
    # In steps and with a margin: rounded, an event would be too short at some places only.
    min_steps = min_seconds / step_seconds - 1e-6
    events = []
    active = _median(scores > threshold, median_steps)
    for label, is_active, values in zip(labels, active.T, scores.T):
        for start, stop in _runs(is_active):
            if stop - start >= min_steps:
                onset, offset = start * step_seconds, stop * step_seconds
                score = float(values[start:stop].mean())
                events.append(Event(float(onset), float(offset), label, score))
    return sorted(events)


def _median(active, length):
    """Return the majority over `length` steps around each, of booleans, (steps, classes)."""
    half = length // 2
    padded = np.pad(active.astype(int), ((half + 1, half), (0, 0)))
    sums = np.cumsum(padded, axis=0)
    return sums[length:] - sums[:-length] > half


def _runs(active):
    edges = np.flatnonzero(np.diff(active.astype(int), prepend=0, append=0))
    return zip(edges[::2], edges[1::2])


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


def write_events(events, path):
    """Write events as a CSV table or as labels of Audacity.

    Args:
        events: list of `keras_asit.events.Event`.
        path: str or path. Ending in .csv: a table with the columns onset, offset, label and
            score. Ending in .txt: Audacity's labels, which its File > Import > Labels reads.

    Raises:
        ValueError: for another ending, or a label that a line of Audacity cannot hold.

    Example:

    ```python
    events = [keras_asit.events.Event(onset=1.2, offset=3.0, label="dog", score=0.9)]
    keras_asit.events.write_events(events, "events.csv")
    ```
    """
    path = Path(path)
    if path.suffix == ".csv":
        rows = [
            (f"{onset:.3f}", f"{offset:.3f}", label, f"{score:.4f}")
            for onset, offset, label, score in events
        ]
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("onset", "offset", "label", "score"), *rows])
    elif path.suffix == ".txt":
        for event in events:
            if set(event.label) & set("\t\r\n"):
                raise ValueError(
                    "Audacity's labels hold neither tabs nor line breaks. Received: "
                    f"{event.label!r}"
                )
        lines = [f"{event.onset:.3f}\t{event.offset:.3f}\t{event.label}\n" for event in events]
        path.write_text("".join(lines), encoding="utf-8")
    else:
        raise ValueError(
            f"Events are written to .csv (a table) or .txt (Audacity's labels). Received: {path}"
        )
