"""How good scores of events are, by sed_scores_eval, and which thresholds make the best events."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from keras_asit._arguments import check_instance, check_number
from keras_asit._extras import check_extra
from keras_asit.data import LabeledEvents
from keras_asit.models.event_detector import as_median_steps, as_thresholds

# PSDS1 of DCASE's challenges (Ronchini et al., arXiv 2205.10226), which punishes late onsets.
PSDS1 = {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "alpha_st": 1.0, "max_efpr": 100.0}
# What an event's times may be off by in its F1: seconds, and for the offset a share of it if more.
COLLARS = {"onset_collar": 0.2, "offset_collar": 0.2, "offset_collar_rate": 0.2}
SEGMENT_SECONDS = 1.0
# Lengths of filters to choose from, up to 1.2 s where a step lasts 40 ms.
MEDIAN_STEPS = (1, 3, 5, 9, 15, 21, 31)


def median_filtered(scores: ArrayLike, median_steps: int | Sequence[int]) -> np.ndarray:
    """Return scores, `(steps, classes)`, median-filtered over time, silence being around them.

    The filters have odd lengths, one for all classes or one for each.
    """
    from scipy.ndimage import median_filter

    scores = np.array(scores)
    lengths = np.broadcast_to(np.asarray(median_steps), scores.shape[1:])
    for length in set(lengths.tolist()) - {1}:
        chosen = lengths == length
        scores[:, chosen] = median_filter(scores[:, chosen], (length, 1), mode="constant")
    return scores


def event_metrics(
    scores: Sequence[ArrayLike],
    recordings: LabeledEvents,
    step_seconds: float,
    *,
    thresholds: float | Sequence[float] = 0.5,
    median_steps: int | Sequence[int] = 1,
) -> dict:
    """Return what scores of events are worth, as sed_scores_eval measures it (extra `events`).

    Args:
        scores: list of arrays of probabilities, `(steps, classes)`, one a recording.
        recordings: a `keras_asit.data.LabeledEvents`, the truth.
        step_seconds: float. Duration of a step.
        thresholds, median_steps: as in `keras_asit.events.find_events`.

    Returns:
        A dict of floats from 0 to 1: `"psds1"`, DCASE's first polyphonic sound detection score,
        over all thresholds; and, at the given ones, `"event_f1"`, onsets being right within
        200 ms and offsets within 200 ms or a fifth of the event, and `"segment_f1"` of segments
        of a second. All are means over the classes that have events, filtered scores being
        used. And `"classes"`, a dict from their names to a dict of the same three of each.

    Raises:
        ValueError: if an argument is invalid.
        ImportError: without sed_scores_eval.

    Example:
    ```python
    recordings = keras_asit.data.LabeledEvents(["a.wav"], [((0.2, 1.0, 0),)], ["dog"], [2.0])
    scores = np.where(np.arange(50) // 5 % 5 > 0, 0.9, 0.1)[:, None]
    metrics = keras_asit.evaluation.event_metrics([scores], recordings, 0.04)
    ```

    Reference: Ebbers et al., "Threshold-Independent Evaluation of Sound Event Detection Scores",
    arXiv 2201.13148; Bilen et al., "A Framework for the Robust Evaluation of Sound Event
    Detection", arXiv 1910.08440; Mesaros et al., "Metrics for Polyphonic Sound Event Detection",
    Applied Sciences 6(6), 2016.
    """
    frames, truth, names = _frames_and_truth(scores, recordings, step_seconds, median_steps)
    from sed_scores_eval import collar_based, intersection_based, segment_based

    durations = {
        column: max(recordings.seconds[index], len(scores[index]) * step_seconds)
        for index, column in enumerate(truth)
    }
    every = as_thresholds(thresholds, len(recordings.class_names))
    chosen = {column: every[int(column)] for column in names}
    psds, psds_of_classes, *_ = intersection_based.psds(frames, truth, durations, **PSDS1)
    events, *_ = collar_based.fscore(frames, truth, chosen, **COLLARS)
    segments, *_ = segment_based.fscore(
        frames, truth, durations, chosen, segment_length=SEGMENT_SECONDS
    )
    found = {
        "psds1": {"macro_average": psds, **psds_of_classes},
        "event_f1": events,
        "segment_f1": segments,
    }

    def of(column):
        return {metric: float(values[column]) for metric, values in found.items()}

    return of("macro_average") | {"classes": {name: of(column) for column, name in names.items()}}


def choose_thresholds(
    scores: Sequence[ArrayLike],
    recordings: LabeledEvents,
    step_seconds: float,
    *,
    median_steps: Sequence[int] = MEDIAN_STEPS,
) -> tuple[list[float], list[int]]:
    """Return the threshold and the filter's length of each class that give the best event F1.

    Args:
        scores, recordings, step_seconds: as in `event_metrics`, of validation data.
        median_steps: odd ints, the lengths to choose from, of which the first that is best is
            chosen. Defaults to 1, 3, 5, 9, 15, 21 and 31 steps.

    Returns:
        Two lists with an entry a class: thresholds in [0, 1], and lengths. A class that no
        threshold finds has `1.0`, which no score exceeds, and one without an event `0.5`.

    Raises:
        ValueError, ImportError: as in `event_metrics`.

    Example:
    ```python
    recordings = keras_asit.data.LabeledEvents(["a.wav"], [((0.2, 1.0, 0),)], ["dog"], [2.0])
    scores = np.where(np.arange(50) // 5 % 5 > 0, 0.9, 0.1)[:, None]
    keras_asit.evaluation.choose_thresholds([scores], recordings, 0.04)  # ([0.5], [1])
    ```
    """
    number = len(recordings.class_names)
    best = np.full(number, -1.0)
    thresholds, lengths = np.full(number, 0.5), np.ones(number, int)
    for length in median_steps:
        frames, truth, names = _frames_and_truth(scores, recordings, step_seconds, length)
        from sed_scores_eval import collar_based

        values, _, _, chosen, _ = collar_based.best_fscore(frames, truth, **COLLARS)
        for column in names:
            if values[column] > best[int(column)]:
                best[int(column)] = values[column]
                # It is infinite where nothing is found.
                thresholds[int(column)] = min(chosen[column], 1.0) if values[column] else 1.0
                lengths[int(column)] = length
    return thresholds.tolist(), lengths.tolist()


def _frames_and_truth(scores, recordings, step_seconds, median_steps):
    """Return scores and events as sed_scores_eval takes them, and names of classes by columns.

    It knows no classes without an event, which are left out.
    """
    check_instance("recordings", recordings, LabeledEvents)
    check_number("step_seconds", step_seconds, 1e-6)
    check_extra("events", "sed_scores_eval")
    from sed_scores_eval.base_modules.scores import create_score_dataframe

    shapes = {np.shape(array)[1:] for array in scores}
    if len(scores) != len(recordings) or shapes != {(len(recordings.class_names),)}:
        raise ValueError(
            f"`scores` must be {len(recordings)} arrays, one a recording, of shape (steps, "
            f"{len(recordings.class_names)}). Received: {len(scores)}, of (steps, *) {shapes}"
        )
    if not all(len(each) and (np.min(each) >= 0 and np.max(each) <= 1) for each in scores):
        raise ValueError("`scores` must be from 0 to 1, of one step or more; take the sigmoid.")
    as_median_steps(median_steps, len(recordings.class_names))
    occurring = sorted({index for events in recordings.events for *_, index in events})
    if not occurring:
        raise ValueError("`recordings` must have at least one event.")
    names = {str(index): recordings.class_names[index] for index in occurring}
    frames, truth = {}, {}
    for key, (array, events) in enumerate(zip(scores, recordings.events)):
        times = np.arange(len(array) + 1) * step_seconds
        filtered = median_filtered(array, median_steps)[:, occurring].astype("float64")
        frames[str(key)] = create_score_dataframe(filtered, times, list(names))
        truth[str(key)] = [(onset, offset, str(index)) for onset, offset, index in events]
    return frames, truth, names
