"""Events in frame-level scores."""

from collections import namedtuple

import numpy as np

from keras_asit.arguments import check_number, check_positive_integer

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
