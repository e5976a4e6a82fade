"""One vector of all tokens, or one of each time step."""

import numpy as np
import pytest
from harness import assert_close, run_layer_test

from keras_asit.layers import FramePooling, TokenPooling

TOKENS = np.random.default_rng(1).normal(size=(2, 1 + 3 * 4, 5)).astype("float32")
EXPECTED = {
    "cls": TOKENS[:, 0],
    "mean": TOKENS[:, 1:].mean(axis=1),
    "cls_and_mean": np.concatenate([TOKENS[:, 0], TOKENS[:, 1:].mean(axis=1)], axis=-1),
}


@pytest.mark.parametrize("pooling", EXPECTED)
def test_the_class_token_the_mean_of_patches_or_both(pooling):
    assert_close(TokenPooling(pooling)(TOKENS), EXPECTED[pooling], atol=1e-6)
    run_layer_test(TokenPooling, {"pooling": pooling}, TOKENS)


def test_the_patches_of_each_time_step_are_averaged_without_the_class_token():
    expected = TOKENS[:, 1:].reshape(2, 3, 4, 5).mean(axis=2)
    assert_close(FramePooling(4)(TOKENS), expected, atol=1e-6)
    run_layer_test(FramePooling, {"num_mel_patches": 4}, TOKENS)


def test_tokens_that_are_no_grid_of_as_many_mel_patches_are_refused():
    with pytest.raises(ValueError, match="a multiple of `num_mel_patches`, 5"):
        FramePooling(5)(TOKENS)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="'cls', 'mean', 'cls_and_mean'"):
        TokenPooling("max")
    with pytest.raises(ValueError, match="1 \\+ patches"):
        TokenPooling()(TOKENS[0])
    with pytest.raises(ValueError, match="`num_mel_patches` must be a positive integer"):
        FramePooling(0)
