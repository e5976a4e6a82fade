"""Frame pooling: the mean over mel of each time step's patches."""

import numpy as np
import pytest
from layer_checks import assert_close, assert_config_round_trip, assert_works_in_functional_model

from keras_asit.layers import FramePooling


def random_tokens(*shape):
    return np.random.normal(size=shape).astype("float32")


def test_averages_the_patches_of_each_time_step_without_the_class_token():
    tokens = random_tokens(2, 1 + 3 * 4, 5)
    expected = tokens[:, 1:].reshape(2, 3, 4, 5).mean(axis=2)
    assert_close(FramePooling(4)(tokens), expected, atol=1e-6)


def test_works_in_a_functional_model(tmp_path):
    assert_works_in_functional_model(FramePooling(4), random_tokens(2, 13, 5), tmp_path)


def test_config_round_trip():
    assert_config_round_trip(FramePooling(8))


def test_tokens_that_are_no_grid_of_as_many_mel_patches_are_refused():
    with pytest.raises(ValueError, match="a multiple of `num_mel_patches`, 5"):
        FramePooling(5)(random_tokens(2, 13, 4))


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`num_mel_patches` must be a positive integer"):
        FramePooling(0)
