"""The transformer block: the reference's numbers, and stochastic depth."""

import numpy as np
import pytest
from golden_model import build_reference_pretrainer
from harness import (
    assert_close,
    run_layer_test,
    to_numpy,
)
from keras import ops

from keras_asit.layers import TransformerBlock, attention


def random_tokens(*shape):
    return np.random.normal(size=shape).astype("float32")


def make_block(**kwargs):
    return TransformerBlock(**{"num_heads": 2, "mlp_dim": 16, **kwargs})


def test_every_block_equals_the_reference(golden_forward, golden_trajectory):
    backbone = build_reference_pretrainer(golden_trajectory).student.backbone
    tokens = golden_forward["tokens"]
    for index, block in enumerate(backbone.transformer_blocks):
        expected = golden_forward[f"block_{index}"]
        assert_close(block(tokens), expected, atol=1e-5)
        tokens = expected


def test_attention_mixes_tokens_of_one_sample_only():
    block = make_block()
    tokens = random_tokens(3, 5, 8)
    before = to_numpy(block(tokens))
    tokens[1, 4] = random_tokens(8)
    changed = np.any(to_numpy(block(tokens)) != before, axis=2)
    np.testing.assert_array_equal(changed, [[False] * 5, [True] * 5, [False] * 5])


def test_all_ways_of_attention_are_the_same():
    query_key_value = 3 * random_tokens(2, 7, 36)
    expected = attention.by_products(query_key_value, num_heads=3)
    for attend in (attention.by_kernel, attention.by_clips):
        assert_close(attend(query_key_value, num_heads=3), expected, atol=1e-5)


def make_block_without_mlp(**kwargs):
    """Return a block that only adds its attention to its input."""
    block = make_block(**kwargs)
    block.build((None, None, 8))
    block.mlp.dense_layers[-1].kernel.assign(np.zeros((16, 8)))
    block.attention_output.bias.assign(np.ones(8))
    return block


def test_training_drops_the_branch_of_whole_samples_and_scales_it_up_otherwise():
    block = make_block_without_mlp(drop_path_rate=0.25, seed=1)
    tokens = random_tokens(400, 3, 8)
    branch = to_numpy(block(tokens, training=False)) - tokens
    trained = to_numpy(block(tokens, training=True)) - tokens
    dropped = np.all(np.abs(trained) < 1e-6, axis=(1, 2))
    assert 0.25 - 0.09 < dropped.mean() < 0.25 + 0.09  # Four standard errors.
    np.testing.assert_allclose(trained[~dropped], branch[~dropped] / 0.75, atol=1e-5)


def test_both_branches_are_dropped_independently():
    block = make_block(drop_path_rate=0.5, seed=1)
    tokens = random_tokens(400, 3, 8)
    unchanged = np.all(np.abs(to_numpy(block(tokens, training=True)) - tokens) < 1e-6, axis=(1, 2))
    assert 0.25 - 0.09 < unchanged.mean() < 0.25 + 0.09


def test_stochastic_depth_keeps_the_expectation():
    block = make_block_without_mlp(drop_path_rate=0.5, seed=1)
    tokens = np.broadcast_to(random_tokens(1, 3, 8), (2000, 3, 8))
    branch = to_numpy(block(tokens[:1], training=False)) - tokens[:1]
    trained = to_numpy(block(tokens, training=True)) - tokens
    np.testing.assert_allclose(trained.mean(axis=0), branch[0], rtol=0.1, atol=1e-3)


def test_inference_drops_nothing():
    tokens = random_tokens(8, 3, 8)
    block = make_block(drop_path_rate=0.9, seed=1)
    expected = make_block()
    expected.build((None, None, 8))
    block.build((None, None, 8))
    expected.set_weights(block.get_weights())
    assert_close(block(tokens), expected(tokens), atol=1e-6)
    assert_close(block(tokens, training=False), expected(tokens), atol=1e-6)


@pytest.mark.parametrize("rematerialize", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_training_computes_what_inference_does(dtype, rematerialize):
    block = make_block(dtype=dtype, rematerialize=rematerialize)
    tokens = ops.cast(random_tokens(4, 5, 8), dtype)
    block.build(tokens.shape)
    # Other scales than one tell in which precision they are multiplied by.
    block.attention_norm.gamma.assign(np.random.uniform(0.5, 2, 8))
    tolerance = {"float32": 1e-6, "bfloat16": 2**-7, "float16": 2**-10}[dtype]
    inferred, trained = (block(tokens, training=training) for training in (False, True))
    assert trained.dtype == inferred.dtype
    assert_close(ops.cast(trained, "float32"), ops.cast(inferred, "float32"), atol=tolerance)


def test_equal_seeds_drop_the_same_samples():
    tokens = random_tokens(64, 3, 8)

    def dropped(seed):
        block = make_block_without_mlp(drop_path_rate=0.5, seed=seed)
        return np.all(to_numpy(block(tokens, training=True)) == tokens, axis=(1, 2))

    np.testing.assert_array_equal(dropped(3), dropped(3))
    assert np.any(dropped(3) != dropped(4))


def test_layer_contract():
    arguments = {"num_heads": 2, "mlp_dim": 16, "drop_path_rate": 0.1, "seed": 2}
    run_layer_test(
        TransformerBlock,
        {**arguments, "layer_norm_epsilon": 1e-5},
        random_tokens(2, 5, 8),
        half_precision_atol=0.05,
    )


def test_width_must_be_a_multiple_of_the_heads():
    with pytest.raises(ValueError, match=r"multiple of `num_heads`.*width=8, num_heads=3"):
        make_block(num_heads=3)(ops.zeros((1, 5, 8)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, "`num_heads` must be a positive integer"),
        ({"mlp_dim": 2.5}, "`mlp_dim` must be a positive integer"),
        ({"drop_path_rate": 1.0}, "`drop_path_rate` must be a number between 0 and 0.999"),
        ({"layer_norm_epsilon": -1}, "`layer_norm_epsilon` must be a number of at least 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_block(**arguments)


@pytest.mark.parametrize("shape", [(2, 8), (2, 2, 3, 8)])
def test_other_ranks_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, tokens, width\)"):
        TransformerBlock(num_heads=2, mlp_dim=16)(ops.zeros(shape))


def test_what_is_computed_again_does_not_train_in_float8():
    block = TransformerBlock(3, 48, rematerialize=True)
    block.build((None, 5, 24))
    block.mlp.dense_layers[0].quantize("float8")
    tokens = np.ones((2, 5, 24), "float32")
    assert block(tokens).shape == (2, 5, 24)
    with pytest.raises(ValueError, match="cannot train in float8"):
        block(tokens, training=True)
