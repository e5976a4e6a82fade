"""The cosine schedule: its ends, its warm-up, its precision, and serialisation."""

import keras
import numpy as np
import pytest
from harness import to_numpy

from keras_asit.schedules import WarmupCosine


def values(schedule, steps):
    return np.array([to_numpy(schedule(step)) for step in steps])


def test_goes_from_start_to_end_and_stays():
    cosine = WarmupCosine(1.0, 0.2, total_steps=8)
    expected = 0.2 + 0.8 * (1 + np.cos(np.pi * np.arange(9) / 8)) / 2
    np.testing.assert_allclose(values(cosine, range(9)), expected, atol=1e-6)
    np.testing.assert_allclose(values(cosine, [9, 1000]), 0.2, atol=1e-6)


def test_warms_up_linearly_from_zero():
    cosine = WarmupCosine(0.4, 0.0, total_steps=12, warmup_steps=4)
    np.testing.assert_allclose(values(cosine, range(5)), [0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)
    np.testing.assert_allclose(values(cosine, [8, 12]), [0.2, 0.0], atol=1e-6)


def test_rises_after_no_warm_up_and_falls_after_one():
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


def test_takes_the_counter_of_an_optimizer():
    step = keras.Variable(4, dtype="int32", trainable=False)
    np.testing.assert_allclose(to_numpy(WarmupCosine(1.0, 0.0, 8)(step)), 0.5, atol=1e-6)


def test_serialisation_round_trip():
    cosine = WarmupCosine(5e-4, 1e-6, total_steps=100, warmup_steps=10)
    serialized = keras.optimizers.schedules.serialize(cosine)
    assert keras.optimizers.schedules.deserialize(serialized).get_config() == cosine.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": None}, "`start` must be a number"),
        ({"end": "1"}, "`end` must be a number"),
        ({"total_steps": 0}, "`total_steps` must be a positive integer"),
        ({"warmup_steps": 10}, "`warmup_steps` must be a number between 0 and 9"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        WarmupCosine(**{"start": 1.0, "end": 0.0, "total_steps": 10, **arguments})
