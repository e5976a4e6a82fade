"""The linear ramp: its ends, its middle, and serialisation."""

import keras
import numpy as np
import pytest
from harness import to_numpy

from keras_asit.schedules import LinearRamp


def values(schedule, steps):
    return np.array([to_numpy(schedule(step)) for step in steps])


def test_rises_in_a_straight_line_then_stays():
    ramp = LinearRamp(0.04, 0.07, ramp_steps=3)
    expected = [0.04, 0.05, 0.06, 0.07, 0.07, 0.07]
    np.testing.assert_allclose(values(ramp, [0, 1, 2, 3, 4, 1000]), expected, rtol=1e-6)


def test_may_fall():
    np.testing.assert_allclose(values(LinearRamp(1, -1, 4), range(6)), [1, 0.5, 0, -0.5, -1, -1])


def test_takes_the_counter_of_an_optimizer():
    step = keras.Variable(2, dtype="int32", trainable=False)
    np.testing.assert_allclose(to_numpy(LinearRamp(0.0, 1.0, 4)(step)), 0.5)


def test_serialisation_round_trip():
    ramp = LinearRamp(0.04, 0.07, 30)
    serialized = keras.optimizers.schedules.serialize(ramp)
    assert keras.optimizers.schedules.deserialize(serialized).get_config() == ramp.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0", 1, 4), "`start` must be a number"),
        ((0, float("nan"), 4), "`end` must be a number"),
        ((0, 1, 0), "`ramp_steps` must be a positive integer"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearRamp(*arguments)
