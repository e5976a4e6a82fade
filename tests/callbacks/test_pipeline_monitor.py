"""`PipelineMonitor`: throughput, waiting and stalls, by a clock that the tests set."""

import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_asit.callbacks import PipelineMonitor


class Clock:
    """Stands for `time.monotonic`."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_measures_throughput_time_left_and_waiting(clock):
    def slow(x):
        clock.now += 1.0  # Each batch takes a second to come,
        return x

    batches = tf.data.Dataset.range(4).map(lambda x: tf.numpy_function(slow, [x], tf.int64))
    monitor = PipelineMonitor(batch_size=8, batches_per_epoch=6, every_batches=2)
    monitor.set_params({"epochs": 2})
    monitor.on_epoch_begin(0)
    measured = []
    iterator = iter(monitor.watch(batches))
    for batch in range(4):
        monitor.on_train_batch_begin(batch)
        next(iterator)
        clock.now += 3.0  # and three to train on.
        logs = {"loss": 1.0}
        monitor.on_train_batch_end(batch, logs)
        measured.append(logs)
    assert np.isnan(measured[0]["clips_per_second"])
    assert measured[1]["clips_per_second"] == 2.0
    assert measured[1]["waiting_share"] == 0.25
    # Ten of twelve batches are left, then eight.
    assert measured[1]["hours_left"] == pytest.approx(10 * 4 / 3600)
    assert measured[3]["hours_left"] == pytest.approx(8 * 4 / 3600)


def test_measures_the_batches_left_at_the_end_of_an_epoch(clock):
    monitor = PipelineMonitor(batch_size=8, batches_per_epoch=2, every_batches=50)
    monitor.set_params({"epochs": 2})
    monitor.on_epoch_begin(0)
    for batch in range(2):
        monitor.on_train_batch_begin(batch)
        clock.now += 4.0
        monitor.on_train_batch_end(batch)
    clock.now += 100.0  # Validation is not training.
    logs = {}
    monitor.on_epoch_end(0, logs)
    assert logs["clips_per_second"] == 2.0
    assert logs["hours_left"] == pytest.approx(2 * 4 / 3600)
    # An epoch that has nothing left to train, as after a continuation, measures nothing new.
    monitor.on_epoch_begin(1)
    monitor.on_epoch_end(1, again := {})
    assert again == logs


def test_watched_batches_are_the_same_batches():
    batches = tf.data.Dataset.range(5).map(lambda x: {"clean": x, "short": 2 * x}).batch(2)
    watched = PipelineMonitor(2, 2).watch(batches)
    assert watched.element_spec == batches.element_spec
    for a, b in zip(watched, batches, strict=True):
        np.testing.assert_array_equal(a["short"], b["short"])


def test_a_stalled_pipeline_is_reported():
    stalled, warned = threading.Event(), []

    def stall(x):
        # Nothing comes until the warning does.
        if x == 1:
            stalled.wait(60)
        return x

    monitor = PipelineMonitor(1, 2, stall_seconds=0.05)
    monitor.warn = lambda message: (warned.append(message), stalled.set())
    monitor.on_train_begin()
    batches = tf.data.Dataset.range(2).map(lambda x: tf.numpy_function(stall, [x], tf.int64))
    assert [int(x) for x in monitor.watch(batches)] == [0, 1]
    monitor.on_train_end()
    assert "No batch for" in warned[0]


@pytest.mark.parametrize("name", ["batch_size", "batches_per_epoch", "every_batches"])
def test_arguments_are_checked(name):
    with pytest.raises(ValueError, match=name):
        PipelineMonitor(**{"batch_size": 1, "batches_per_epoch": 1, name: 0})
