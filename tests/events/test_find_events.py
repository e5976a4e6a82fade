"""Events: found in scores, written, drawn."""

import csv

import numpy as np
import pytest

from keras_asit.evaluation import plot_events
from keras_asit.events import Event, find_events, write_events

SCORES = np.array([[0.1, 0.9, 0.8, 0.2, 0.7, 0.7, 0.1], [0.6, 0.6, 0.1, 0.1, 0.1, 0.1, 0.6]]).T


def test_events_are_where_scores_exceed_the_threshold():
    events = find_events(SCORES, 0.5, ["dog", "cat"])
    assert [event[:3] for event in events] == [
        (0.0, 1.0, "cat"),
        (0.5, 1.5, "dog"),
        (2.0, 3.0, "dog"),
        (3.0, 3.5, "cat"),
    ]
    assert events[1].score == pytest.approx(0.85)


def test_a_median_filter_closes_gaps_and_removes_peaks():
    events = find_events(SCORES, 0.5, ["dog", "cat"], median_steps=3)
    assert [event[:3] for event in events] == [(0.0, 1.0, "cat"), (0.5, 3.0, "dog")]


def test_short_events_can_be_left_out():
    events = find_events(SCORES, 0.5, ["dog", "cat"], min_seconds=0.6)
    assert all(event.offset - event.onset >= 0.6 for event in events)
    assert len(events) == 3


@pytest.mark.parametrize("start", range(10))
def test_an_event_of_the_least_duration_counts_wherever_it_is(start):
    scores = np.zeros((20, 1))
    scores[start : start + 5] = 1
    assert len(find_events(scores, 0.04, ["dog"], min_seconds=0.2)) == 1
    assert find_events(scores, 0.04, ["dog"], min_seconds=0.21) == []


def test_silence_has_no_events():
    assert find_events(np.zeros((5, 2)), 0.04, ["dog", "cat"]) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": ["dog"]}, "1 labels"),
        ({"threshold": 2}, "`threshold`"),
        ({"median_steps": 4}, "must be odd"),
        ({"step_seconds": 0}, "`step_seconds`"),
        ({"scores": SCORES * 5}, "must be probabilities"),
        ({"scores": SCORES * np.nan}, "must be probabilities"),
    ],
)
def test_bad_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        find_events(
            **{"scores": SCORES, "step_seconds": 0.5, "labels": ["dog", "cat"], **arguments}
        )


def test_tables_and_audacity_labels(tmp_path):
    events = find_events(SCORES, 0.5, ['a "dog", loud', "cat"])
    write_events(events, tmp_path / "events.csv")
    with (tmp_path / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "onset": "0.500",
        "offset": "1.500",
        "label": 'a "dog", loud',
        "score": "0.8500",
    }
    write_events(events, tmp_path / "labels.txt")
    lines = (tmp_path / "labels.txt").read_text().splitlines()
    assert lines[0] == "0.000\t1.000\tcat"
    with pytest.raises(ValueError, match="are written to"):
        write_events(events, tmp_path / "events.json")
    with pytest.raises(ValueError, match="tabs"):
        write_events([Event(0.0, 1.0, "a\tb", 0.5)], tmp_path / "labels.txt")


def test_events_are_drawn_under_the_spectrogram(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    figure = plot_events(np.zeros((350, 16)), find_events(SCORES, 0.5, ["dog", "cat"]), 3.5)
    _, below = figure.axes
    assert len(below.patches) == 4
    assert [label.get_text() for label in below.get_yticklabels()] == ["cat", "dog"]
    figure.savefig(tmp_path / "events.png")
    assert (tmp_path / "events.png").stat().st_size > 1000
