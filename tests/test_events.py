"""Events: scored in recordings of any length, found in scores, written."""

import csv

import numpy as np
import pytest
from keras import ops

from keras_asit.events import Event, find_events, score_recording, write_events
from keras_asit.models import (
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
)

SCORES = np.array([[0.1, 0.9, 0.8, 0.2, 0.7, 0.7, 0.1], [0.6, 0.6, 0.1, 0.1, 0.1, 0.1, 0.6]]).T


# --- Scores of recordings ---


@pytest.fixture
def detector():
    backbone = ASiTBackbone((48, 32), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(16000, 48, 32))
    return ASiTEventDetector(backbone, 3, preprocessor, num_steps=10)


def noise(seconds):
    size = int(seconds * 16000)
    return np.random.default_rng(1).uniform(-0.5, 0.5, size).astype("float32")


def test_one_window_is_scored_as_the_detector_does(detector):
    waveform = noise(detector.window_seconds)
    logits = detector(detector.preprocessor(waveform[None]))["strong"]
    expected = ops.convert_to_numpy(ops.sigmoid(logits))[0]
    np.testing.assert_allclose(score_recording(detector, waveform), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.03, 0.2, 0.5, 0.51, 1.7, 4.0])
@pytest.mark.parametrize("overlap", [0, 0.5, 0.9])
def test_every_step_of_any_length_is_scored(detector, seconds, overlap):
    scores = score_recording(detector, noise(seconds), overlap=overlap)
    assert scores.shape == (int(np.ceil(seconds / 0.05 - 1e-9)), 3)
    assert np.all((scores > 0) & (scores < 1))


def test_windows_do_not_depend_on_the_batch(detector):
    waveform = noise(3)
    few, many = (score_recording(detector, waveform, batch_size=size) for size in (1, 64))
    np.testing.assert_allclose(few, many, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 100), "float32"), "shape"),
        (np.zeros(0, "float32"), "is empty"),
        (np.zeros(100, "int16"), "32768"),
        (np.array([0.0, np.nan]), "sample 1 of `waveform` is nan"),
    ],
)
def test_bad_waveforms_are_errors(detector, waveform, message):
    with pytest.raises(ValueError, match=message):
        score_recording(detector, waveform)


def test_what_reads_no_recordings_is_an_error(detector):
    with pytest.raises(ValueError, match="must be an ASiTEventDetector"):
        score_recording(detector.backbone, noise(1))
    with pytest.raises(ValueError, match="has no preprocessor"):
        score_recording(ASiTEventDetector(detector.backbone, 3), noise(1))


# --- Events in scores ---


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


def test_each_class_may_have_a_threshold_and_a_filter_of_its_own():
    options = {"threshold": [0.75, 0.5], "median_steps": [1, 3]}
    events = find_events(SCORES, 0.5, ["dog", "cat"], **options)
    assert [event[:3] for event in events] == [(0.0, 1.0, "cat"), (0.5, 1.5, "dog")]


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
        ({"class_names": ["dog"]}, "1 names"),
        ({"threshold": 2}, "`threshold`"),
        ({"threshold": [0.5]}, "each of 2 classes. Received: threshold=\\[0.5\\]"),
        ({"median_steps": 4}, "must be odd"),
        ({"median_steps": [1, 1.5]}, "must be odd"),
        ({"step_seconds": 0}, "`step_seconds`"),
        ({"scores": SCORES * 5}, "must be probabilities"),
        ({"scores": SCORES * np.nan}, "must be probabilities"),
    ],
)
def test_bad_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        find_events(
            **{"scores": SCORES, "step_seconds": 0.5, "class_names": ["dog", "cat"], **arguments}
        )


# --- Files of events ---


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
