"""What scores of events are worth, equal to sed_scores_eval's and sed_eval's own numbers."""

import numpy as np
import pytest

from keras_asit.data import LabeledEvents
from keras_asit.evaluation import choose_thresholds, event_metrics
from keras_asit.evaluation.detection import median_filtered
from keras_asit.events import find_events

STEP = 0.04
NAMES = ["dog", "onset", "cat", "never"]
THRESHOLDS, FILTERS = [0.4, 0.5, 0.6, 0.5], [1, 5, 3, 1]


@pytest.fixture(scope="module")
def recordings():
    """Twelve recordings of ten seconds, each with a few events of three of four classes."""
    generator = np.random.default_rng(1)
    events = []
    for _ in range(12):
        onsets = generator.uniform(0, 8, 4)
        lengths = generator.uniform(0.3, 2, 4)
        events.append(
            tuple(
                (float(onset), float(onset + length), int(index))
                for onset, length, index in zip(onsets, lengths, generator.integers(0, 3, 4))
            )
        )
    return LabeledEvents([f"{index}.wav" for index in range(12)], events, NAMES, [10.0] * 12)


@pytest.fixture(scope="module")
def scores(recordings):
    """What a fair detector might say: where an event is, and a little beside it, in noise."""
    generator = np.random.default_rng(2)
    scores = []
    for events in recordings.events:
        logits = generator.normal(-2, 0.9, (250, 4))
        for onset, offset, index in events:
            start, stop = np.asarray([onset, offset]) / STEP + generator.normal(0, 2, 2)
            logits[max(0, round(start)) : round(stop), index] += 4
        scores.append(1 / (1 + np.exp(-logits)))
    return scores


@pytest.fixture(scope="module")
def metrics(scores, recordings):
    options = {"thresholds": THRESHOLDS, "median_steps": FILTERS}
    return event_metrics(scores, recordings, STEP, **options)


def test_they_are_those_of_sed_scores_eval(metrics, scores, recordings):
    import pandas
    from sed_scores_eval import collar_based, intersection_based, segment_based

    times = np.arange(251) * STEP
    frames, truth = {}, {}
    for path, events, array in zip(recordings.paths, recordings.events, scores):
        filtered = median_filtered(array, FILTERS)
        columns = {f"<{name}>": filtered[:, NAMES.index(name)] for name in NAMES[:3]}
        frames[path] = pandas.DataFrame({"onset": times[:-1], "offset": times[1:], **columns})
        truth[path] = [(onset, offset, f"<{NAMES[index]}>") for onset, offset, index in events]
    durations = dict.fromkeys(recordings.paths, 10.0)
    thresholds = {f"<{name}>": threshold for name, threshold in zip(NAMES[:3], THRESHOLDS)}
    criteria = {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "alpha_st": 1, "max_efpr": 100}
    psds, of_classes, *_ = intersection_based.psds(frames, truth, durations, **criteria)
    assert metrics["psds1"] == pytest.approx(psds, abs=1e-12)
    collars = {"onset_collar": 0.2, "offset_collar": 0.2, "offset_collar_rate": 0.2}
    event_f1, *_ = collar_based.fscore(frames, truth, thresholds, **collars)
    segment_f1, *_ = segment_based.fscore(frames, truth, durations, thresholds, segment_length=1.0)
    assert metrics["event_f1"] == pytest.approx(event_f1["macro_average"], abs=1e-12)
    assert metrics["segment_f1"] == pytest.approx(segment_f1["macro_average"], abs=1e-12)
    assert list(metrics["classes"]) == NAMES[:3]
    for name, values in metrics["classes"].items():
        expected = [each[f"<{name}>"] for each in (of_classes, event_f1, segment_f1)]
        assert list(values.values()) == pytest.approx(expected, abs=1e-12)
    assert 0.1 < metrics["event_f1"] < 0.99 and 0 < metrics["psds1"] < 0.99


def test_f1_is_what_sed_eval_makes_of_the_events_found(metrics, scores, recordings):
    import dcase_util
    import sed_eval

    kinds = {
        "event_f1": sed_eval.sound_event.EventBasedMetrics(
            NAMES[:3], t_collar=0.2, percentage_of_length=0.2
        ),
        "segment_f1": sed_eval.sound_event.SegmentBasedMetrics(NAMES[:3], time_resolution=1.0),
    }
    for path, events, array in zip(recordings.paths, recordings.events, scores):
        truth = [(onset, offset, NAMES[index]) for onset, offset, index in events]
        found = find_events(array, STEP, NAMES, threshold=THRESHOLDS, median_steps=FILTERS)
        lists = [
            dcase_util.containers.MetaDataContainer(
                [
                    {"filename": path, "onset": onset, "offset": offset, "event_label": label}
                    for onset, offset, label, *_ in rows
                    if label != "never"
                ]
            )
            for rows in (truth, found)
        ]
        for kind in kinds.values():
            kind.evaluate(*lists)
    for name, kind in kinds.items():
        expected = kind.results_class_wise_average_metrics()["f_measure"]["f_measure"]
        assert metrics[name] == pytest.approx(expected, abs=1e-9), name


def test_perfect_scores_are_worth_everything(recordings):
    scores = []
    for events in recordings.events:
        truth = np.zeros((250, 4))
        for onset, offset, index in events:
            truth[round(onset / STEP) : round(offset / STEP), index] = 1
        scores.append(truth)
    metrics = event_metrics(scores, recordings, STEP)
    assert metrics["psds1"] == metrics["event_f1"] == 1.0
    assert metrics["segment_f1"] > 0.97


def test_chosen_thresholds_are_the_best_of_all(scores, recordings):
    lengths = (1, 3, 7)
    thresholds, chosen = choose_thresholds(scores, recordings, STEP, median_steps=lengths)
    assert thresholds[3] == 0.5 and set(chosen) <= set(lengths)
    best = event_metrics(scores, recordings, STEP, thresholds=thresholds, median_steps=chosen)
    for length in lengths:
        for threshold in np.linspace(0.05, 0.95, 10):
            options = {"thresholds": threshold, "median_steps": length}
            others = event_metrics(scores, recordings, STEP, **options)
            for name, values in others["classes"].items():
                assert values["event_f1"] <= best["classes"][name]["event_f1"] + 1e-12


def test_what_is_never_found_is_never_reported(recordings):
    scores = [np.full((250, 4), 0.7)] * 12
    thresholds, lengths = choose_thresholds(scores, recordings, STEP)
    assert thresholds == [1.0, 1.0, 1.0, 0.5] and lengths == [1] * 4
    assert find_events(scores[0], STEP, NAMES, threshold=[1.0, 1.0, 1.0, 1.0]) == []


def test_filters_of_scores_are_those_of_what_exceeds_a_threshold(scores):
    filtered = median_filtered(scores[0], FILTERS)
    np.testing.assert_array_equal(filtered[:, 0], scores[0][:, 0])
    padded = np.pad(scores[0][:, 1], 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5)
    np.testing.assert_allclose(filtered[:, 1], np.median(windows, axis=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": []}, "must be 12 arrays, one a recording, of shape"),
        ({"scores": [np.zeros((250, 3))] * 12}, r"\(steps, 4\). Received: 12"),
        ({"recordings": "events.tsv"}, "must be a LabeledEvents"),
        ({"scores": [np.full((250, 4), 1.5)] * 12}, "from 0 to 1, of one step or more"),
        ({"scores": [np.full((250, 4), np.nan)] * 12}, "from 0 to 1, of one step or more"),
        ({"scores": [np.zeros((0, 4))] * 12}, "from 0 to 1, of one step or more"),
        ({"thresholds": [0.1, 0.2]}, "`threshold` must be numbers from 0 to 1"),
        ({"median_steps": 4}, "`median_steps` must be odd positive integers"),
        ({"step_seconds": 0}, "`step_seconds`"),
    ],
)
def test_bad_arguments_are_errors(arguments, message, scores, recordings):
    given = {"scores": scores, "recordings": recordings, "step_seconds": STEP, **arguments}
    with pytest.raises(ValueError, match=message):
        event_metrics(**given)


def test_something_must_be_there_to_be_found(scores, recordings):
    silent = LabeledEvents(recordings.paths, [()] * 12, NAMES, recordings.seconds)
    with pytest.raises(ValueError, match="at least one event"):
        choose_thresholds(scores, silent, STEP)
