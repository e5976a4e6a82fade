"""From the scores of an `ASiTEventDetector` to events with onset, offset, label and score."""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_asit._arguments import as_waveform, check_instance, check_integers, check_number
from keras_asit._files import replacing
from keras_asit.evaluation.detection import median_filtered
from keras_asit.evaluation.windows import average_windows, window_starts
from keras_asit.models import ASiTEventDetector
from keras_asit.models.event_detector import as_median_steps, as_thresholds
from keras_asit.replicas import predict_batch

__all__ = ["Event", "find_events", "score_recording", "write_events"]


class Event(NamedTuple):
    """A sound event: onset and offset in seconds, label, and mean probability."""

    onset: float
    offset: float
    label: str
    score: float


def find_events(
    scores: ArrayLike,
    step_seconds: float,
    class_names: Sequence[str],
    *,
    threshold: float | Sequence[float] = 0.5,
    median_steps: int | Sequence[int] = 1,
    min_seconds: float = 0.0,
) -> list[Event]:
    """Find the stretches of time where the score of a class exceeds a threshold.

    Args:
        scores: array of probabilities, `(steps, classes)`, as `score_recording` returns.
        step_seconds: float. Duration of a step, such as 0.04.
        class_names: list of strs.
        threshold: float in [0, 1], or one for each class. Defaults to `0.5`.
        median_steps: odd int, or one for each class. Length of the median filter over time that
            removes short gaps and peaks of what exceeds the threshold. Defaults to `1`, none.
        min_seconds: float. Shorter events are left out. Defaults to `0.0`.

    Returns:
        A list of `Event(onset, offset, label, score)`, by onset.

    Example:
    ```python
    scores = np.array([[0.1], [0.9], [0.8], [0.2]])
    keras_asit.events.find_events(scores, 0.04, ["dog"])  # dog from 0.04 to 0.12
    ```
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or scores.shape[1] != len(class_names):
        raise ValueError(
            "`scores` must be of shape (steps, classes), with a name for each class. Received: "
            f"shape={scores.shape}, {len(class_names)} names"
        )
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError(
            "`scores` must be probabilities, between 0 and 1, as `score_recording` returns them. "
            f"Received: scores from {scores.min():g} to {scores.max():g}"
        )
    check_number("step_seconds", step_seconds, 1e-6)
    check_number("min_seconds", min_seconds, 0)
    threshold = as_thresholds(threshold, len(class_names))
    median_steps = as_median_steps(median_steps, len(class_names))
    # In steps and with a margin: rounded, an event would be too short at some places only.
    min_steps = min_seconds / step_seconds - 1e-6
    active = (median_filtered(scores, median_steps) > threshold).astype("int8")
    events = []
    for name, is_active, values in zip(class_names, active.T, scores.T):
        edges = np.flatnonzero(np.diff(is_active, prepend=0, append=0))
        for start, stop in zip(edges[::2], edges[1::2]):
            if stop - start >= min_steps:
                times = float(start * step_seconds), float(stop * step_seconds)
                events.append(Event(*times, name, float(values[start:stop].mean())))
    return sorted(events)


def score_recording(
    detector: ASiTEventDetector, waveform: ArrayLike, *, overlap: float = 0.5, batch_size: int = 8
) -> np.ndarray:
    """Score a recording of any length by overlapping windows.

    What does not fill a window, or the last step, is padded with silence. Where windows overlap,
    probabilities are averaged, each weighted by its distance from its window's edges.

    Args:
        detector: an `ASiTEventDetector` with a preprocessor.
        waveform: array of shape `(samples,)` in [-1, 1], at the sample rate of its converter.
        overlap: float. As in `keras_asit.evaluation.window_starts`. Defaults to `0.5`.
        batch_size: int. Windows scored at once. Defaults to `8`.

    Returns:
        A float32 array of probabilities, `(steps, num_strong_classes)`; a step lasts
        `detector.window_seconds / detector.num_steps`.

    Example:
    ```python
    waveform = np.random.uniform(-1, 1, 25 * 16000)
    scores = keras_asit.events.score_recording(detector, waveform)
    ```
    """
    check_instance("detector", detector, ASiTEventDetector)
    if detector.preprocessor is None:
        raise ValueError(
            "`detector` has no preprocessor; make it with an ASiTAudioClassifierPreprocessor."
        )
    sample_rate = detector.preprocessor.audio_converter.sample_rate
    check_integers(1, batch_size=batch_size)
    waveform = as_waveform(waveform)
    num_steps, length = detector.num_steps, detector.window_seconds * sample_rate
    total = math.ceil(len(waveform) * num_steps / length)
    starts = window_starts(total, num_steps, overlap=overlap)
    firsts = np.round(starts * length / num_steps).astype(int)
    padded = np.pad(waveform, (0, round(length)))
    scores = []
    for batch in range(0, len(firsts), batch_size):
        windows = [padded[first:][: round(length)] for first in firsts[batch:][:batch_size]]
        logits = predict_batch(detector, np.stack(windows))["strong"]
        scores.append(ops.convert_to_numpy(ops.sigmoid(logits)))
    # A step near an edge of its window has seen the sound on one side only.
    edges = np.minimum(np.arange(num_steps), np.arange(num_steps)[::-1]) + 0.5
    return average_windows(np.concatenate(scores), starts, edges)[:total]


def write_events(events: Sequence[Event], path: str | os.PathLike) -> None:
    """Write events as a CSV table or as labels of Audacity.

    Args:
        events: list of `keras_asit.events.Event`.
        path: str or path. Ending in .csv: a table. Ending in .txt: labels that Audacity imports.

    Example:
    ```python
    events = [keras_asit.events.Event(onset=1.2, offset=3.0, label="dog", score=0.9)]
    keras_asit.events.write_events(events, "events.csv")
    ```
    """
    path = Path(path)
    if path.suffix not in (".csv", ".txt"):
        raise ValueError(
            f"Events are written to .csv (a table) or .txt (Audacity's labels). Received: {path}"
        )
    for event in events:
        if path.suffix == ".txt" and set(event.label) & set("\t\r\n"):
            raise ValueError(
                f"Audacity's labels hold neither tabs nor line breaks. Received: {event.label!r}"
            )
    rows = [(f"{on:.3f}", f"{off:.3f}", label, f"{score:.4f}") for on, off, label, score in events]
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".csv":
            csv.writer(file).writerows([Event._fields, *rows])
        else:
            file.writelines("\t".join(row[:3]) + "\n" for row in rows)
