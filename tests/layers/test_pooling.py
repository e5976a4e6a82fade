"""One vector of all tokens, or one of each time step."""

import numpy as np
import pytest
from harness import assert_close, run_layer_test

from keras_asit.layers import FramePooling, TokenPooling
from keras_asit.layers.pooling import VARIANCE_EPSILON, share_of_sound, step_shares

TOKENS = np.random.default_rng(1).normal(size=(2, 1 + 3 * 4, 5)).astype("float32")
EXPECTED = {
    "cls": TOKENS[:, 0],
    "mean": TOKENS[:, 1:].mean(axis=1),
    "cls_and_mean": np.concatenate([TOKENS[:, 0], TOKENS[:, 1:].mean(axis=1)], axis=-1),
}


ROWS = TOKENS[:, 1:].reshape(2, 3, 4 * 5)
MEL_ROWS = {
    "mel_rows": lambda rows: rows.mean(axis=0),
    "mel_rows_and_maximum": lambda rows: np.concatenate([rows.mean(axis=0), rows.max(axis=0)]),
    "mel_rows_and_deviation": lambda rows: np.concatenate(
        [rows.mean(axis=0), np.sqrt(rows.var(axis=0) + VARIANCE_EPSILON)]
    ),
}


@pytest.mark.parametrize("pooling", EXPECTED)
def test_the_class_token_the_mean_of_patches_or_both(pooling):
    assert_close(TokenPooling(pooling)(TOKENS), EXPECTED[pooling], atol=1e-6)
    run_layer_test(TokenPooling, {"pooling": pooling}, TOKENS)


@pytest.mark.parametrize("pooling", MEL_ROWS)
def test_mel_rows_are_pooled_over_time(pooling):
    layer = TokenPooling(pooling, num_mel_patches=4)
    expected = np.stack([MEL_ROWS[pooling](rows) for rows in ROWS])
    assert_close(layer(TOKENS), expected, atol=1e-5)
    run_layer_test(TokenPooling, {"pooling": pooling, "num_mel_patches": 4}, TOKENS)


@pytest.mark.parametrize("num_tokens", [13, 250, 297, 500])
def test_steps_average_all_tokens(num_tokens):
    tokens = np.random.default_rng(1).normal(size=(2, num_tokens, 3)).astype("float32")
    pooled = TokenPooling("steps")(tokens)
    matrix = step_shares(num_tokens, 250)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert matrix.sum(axis=0).min() > 0  # No token is left out.
    assert_close(pooled, (matrix @ tokens).mean(axis=1), atol=1e-5)
    run_layer_test(TokenPooling, {"pooling": "steps"}, tokens)


@pytest.mark.parametrize("padding", [-0.5, 0.0])
@pytest.mark.parametrize("pooling", MEL_ROWS)
def test_mel_rows_are_pooled_over_the_frames_that_have_sound(pooling, padding):
    spectrograms = np.random.default_rng(2).normal(size=(2, 12, 8)).astype("float32")
    # Of three steps of four frames, the first clip fills two, the second none.
    spectrograms[0, 8:] = spectrograms[1] = padding
    pooled = TokenPooling(pooling, num_mel_patches=4)(TOKENS, spectrograms)
    expected = np.stack([MEL_ROWS[pooling](ROWS[0, :2]), MEL_ROWS[pooling](ROWS[1])])
    assert_close(pooled, expected, atol=1e-5)


def test_a_step_that_sound_fills_in_part_counts_so_much():
    spectrograms = np.random.default_rng(2).normal(size=(2, 12, 8)).astype("float32")
    spectrograms[:, 5:] = 0
    pooled = TokenPooling("mel_rows", num_mel_patches=4)(TOKENS, spectrograms)
    assert_close(pooled, (4 * ROWS[:, 0] + ROWS[:, 1]) / 5, atol=1e-5)
    shares = share_of_sound(spectrograms, 5)  # Steps of 2.4 frames.
    assert_close(shares[0], np.array([2.4, 2.4, 0.2, 0, 0]), atol=1e-5)


def test_the_patches_of_each_time_step_are_averaged_without_the_class_token():
    expected = TOKENS[:, 1:].reshape(2, 3, 4, 5).mean(axis=2)
    assert_close(FramePooling(4)(TOKENS), expected, atol=1e-6)
    run_layer_test(FramePooling, {"num_mel_patches": 4}, TOKENS)
    assert_close(FramePooling(4, "mel_rows")(TOKENS), ROWS, atol=1e-6)
    run_layer_test(FramePooling, {"num_mel_patches": 4, "pooling": "mel_rows"}, TOKENS)


def test_tokens_that_are_no_grid_of_as_many_mel_patches_are_refused():
    with pytest.raises(ValueError, match="a multiple of `num_mel_patches`, 5"):
        FramePooling(5)(TOKENS)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="'cls', 'mean', 'cls_and_mean'"):
        TokenPooling("max")
    with pytest.raises(ValueError, match="`num_mel_patches` must be a positive integer"):
        TokenPooling("mel_rows")
    with pytest.raises(ValueError, match="a multiple of `num_mel_patches`, 5"):
        TokenPooling("mel_rows", num_mel_patches=5)(TOKENS)
    with pytest.raises(ValueError, match="1 \\+ patches"):
        TokenPooling()(TOKENS[0])
    with pytest.raises(ValueError, match="`num_mel_patches` must be a positive integer"):
        FramePooling(0)
