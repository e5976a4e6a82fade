"""The reconstruction head: the reference's spectrograms, and where each patch is painted."""

import numpy as np
import pytest
from golden_model import build_reference_pretrainer
from harness import (
    assert_close,
    run_layer_test,
    to_numpy,
)
from keras import ops

from keras_asit.layers import ReconstructionHead


def random_tokens(*shape):
    return np.random.normal(size=shape).astype("float32")


SIZES = {"grid_shape": (3, 2), "patch_size": (4, 5), "hidden_dim": 10, "bottleneck_dim": 7}


def make_head(**kwargs):
    return ReconstructionHead(**{**SIZES, **kwargs})


def test_reconstruction_equals_the_reference(golden_forward, golden_trajectory):
    head = build_reference_pretrainer(golden_trajectory).student.reconstruction_head
    spectrograms = head(golden_forward["features"][:, 1:])
    assert_close(spectrograms, golden_forward["reconstruction"], atol=1e-5)


def test_every_token_paints_its_own_patch():
    head = make_head()
    tokens = random_tokens(2, 6, 8)
    before = to_numpy(head(tokens))
    assert before.shape == (2, 12, 10)
    tokens[1, 3] += 1  # Second patch along time, second along mel.
    changed = to_numpy(head(tokens)) != before
    expected = np.zeros((2, 12, 10), bool)
    expected[1, 4:8, 5:10] = True
    np.testing.assert_array_equal(changed, expected)


def test_layer_contract():
    run_layer_test(ReconstructionHead, SIZES, random_tokens(2, 6, 8))


def test_the_number_of_tokens_must_be_that_of_patches():
    with pytest.raises(
        ValueError, match=r"as many tokens as patches, without \[CLS\].*\(2, 7, 8\)"
    ):
        make_head()(ops.zeros((2, 7, 8)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid_shape": (3, 0)}, "`grid_shape` must be a positive integer"),
        ({"patch_size": None}, "`patch_size` must be an integer or a pair"),
        ({"hidden_dim": -1}, "`hidden_dim` must be a positive integer"),
        ({"bottleneck_dim": 0}, "`bottleneck_dim` must be a positive integer"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_head(**arguments)
