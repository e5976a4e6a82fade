"""Schedules: their ends, their middle, their precision, and serialization."""

import keras
import numpy as np
import pytest
from harness import to_numpy

from keras_asit.schedules import Scaled, WarmupCosine, WarmupStepDecay


def values(schedule, steps):
    return np.array([to_numpy(schedule(step)) for step in steps])


def test_a_cosine_goes_from_start_to_end_and_stays():
    cosine = WarmupCosine(1.0, 0.2, total_steps=8)
    expected = 0.2 + 0.8 * (1 + np.cos(np.pi * np.arange(9) / 8)) / 2
    np.testing.assert_allclose(values(cosine, range(9)), expected, atol=1e-6)
    np.testing.assert_allclose(values(cosine, [9, 1000]), 0.2, atol=1e-6)


def test_a_cosine_warms_up_linearly_from_zero():
    cosine = WarmupCosine(0.4, 0.0, total_steps=12, warmup_steps=4)
    np.testing.assert_allclose(values(cosine, range(5)), [0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)
    np.testing.assert_allclose(values(cosine, [8, 12]), [0.2, 0.0], atol=1e-6)


def test_a_cosine_rises_after_no_warm_up_and_falls_after_one():
    decay = values(WarmupCosine(0.04, 0.4, total_steps=20), range(21))
    assert np.all(np.diff(decay) > 0)
    rate = values(WarmupCosine(5e-4, 1e-6, total_steps=20, warmup_steps=5), range(21))
    assert np.all(np.diff(rate[:6]) > 0)
    assert np.all(np.diff(rate[5:]) < 0)


def test_a_momentum_close_to_one_is_exact_in_float32():
    momentum = WarmupCosine(0.996, 1.0, total_steps=100_000)
    steps = [0, 50_000, 99_000, 100_000]
    expected = 1 - 0.004 * (1 + np.cos(np.pi * np.array(steps) / 100_000)) / 2
    np.testing.assert_allclose(values(momentum, steps), expected, rtol=0, atol=1.2e-7)
    assert values(momentum, [100_000]) == 1


def test_step_decay_warms_up_and_then_falls_at_every_interval():
    rate = WarmupStepDecay(0.8, 0.5, 4, decay_steps=2, warmup_steps=2)
    expected = [0, 0.4, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1]
    np.testing.assert_allclose(values(rate, range(9)), expected, rtol=1e-6)
    plain = WarmupStepDecay(0.8, 0.5, 4, decay_steps=2)
    np.testing.assert_allclose(values(plain, range(3)), 0.8, rtol=1e-6)


def test_a_schedule_may_be_scaled():
    cosine = WarmupCosine(0.0, 1.0, 4)
    scaled = values(Scaled(cosine, 0.1), range(5))
    np.testing.assert_allclose(scaled, values(cosine, range(5)) / 10, rtol=1e-6)


def test_takes_the_counter_of_an_optimizer():
    step = keras.Variable(2, dtype="int32", trainable=False)
    np.testing.assert_allclose(to_numpy(WarmupCosine(0.0, 1.0, 4)(step)), 0.5, atol=1e-6)


@pytest.mark.parametrize(
    "schedule",
    [
        WarmupCosine(5e-4, 1e-6, total_steps=100, warmup_steps=10),
        WarmupStepDecay(0.8, 0.5, 4, decay_steps=2, warmup_steps=2),
        Scaled(WarmupCosine(0.04, 0.07, 30), 0.1),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_serialization_round_trip(schedule):
    serialized = keras.optimizers.schedules.serialize(schedule)
    copy = keras.optimizers.schedules.deserialize(serialized)
    assert type(copy) is type(schedule)
    assert copy.get_config() == schedule.get_config()


COSINE = {"start": 1.0, "end": 0.0, "total_steps": 10}
DECAY = {"start": 1.0, "decay_rate": 0.5, "first_decay_step": 4, "decay_steps": 2}


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (WarmupCosine, {**COSINE, "start": None}, "`start` must be a number"),
        (WarmupCosine, {**COSINE, "end": "1"}, "`end` must be a number"),
        (WarmupCosine, {**COSINE, "total_steps": 0}, "`total_steps` must be a positive integer"),
        (WarmupCosine, {**COSINE, "warmup_steps": 10}, "`warmup_steps` must be .* 0 and 9"),
        (WarmupStepDecay, {**DECAY, "decay_rate": 2}, "`decay_rate` must be .* 0 and 1"),
        (WarmupStepDecay, {**DECAY, "decay_steps": 0}, "`decay_steps` must be a positive"),
        (WarmupStepDecay, {**DECAY, "warmup_steps": 5}, "`warmup_steps` must be .* 0 and 4"),
        (Scaled, {"schedule": 0.1, "factor": 2}, "`schedule` must be a LearningRateSchedule"),
    ],
)
def test_bad_arguments_are_refused(schedule, arguments, message):
    with pytest.raises(ValueError, match=message):
        schedule(**arguments)
