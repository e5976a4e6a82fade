"""One vector of all tokens."""

import numpy as np
import pytest
from keras import ops

from keras_asit.layers import TokenPooling

TOKENS = np.arange(24, dtype="float32").reshape(2, 3, 4)
EXPECTED = {
    "cls": TOKENS[:, 0],
    "mean": TOKENS[:, 1:].mean(axis=1),
    "cls_and_mean": np.concatenate([TOKENS[:, 0], TOKENS[:, 1:].mean(axis=1)], axis=-1),
}


@pytest.mark.parametrize("pooling", EXPECTED)
def test_the_class_token_the_mean_of_patches_or_both(pooling):
    layer = TokenPooling(pooling)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(TOKENS)), EXPECTED[pooling])
    assert layer.compute_output_shape((None, 3, 4)) == (None, *EXPECTED[pooling].shape[1:])
    assert TokenPooling.from_config(layer.get_config()).pooling == pooling


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="'cls', 'mean', 'cls_and_mean'"):
        TokenPooling("max")
    with pytest.raises(ValueError, match="1 \\+ patches"):
        TokenPooling()(TOKENS[0])
