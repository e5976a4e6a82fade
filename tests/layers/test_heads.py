"""The heads: logits and spectrograms of the reference, and where patches are painted."""

import numpy as np
import pytest
from golden_model import build_reference_pretrainer
from harness import assert_close, run_layer_test, to_numpy
from keras import ops

from keras_asit.layers import ProjectionHead, ReconstructionHead


def random_tokens(*shape):
    return np.random.normal(size=shape).astype("float32")


# --- Projection ---

SIZES = {
    "num_class_prototypes": 6,
    "num_patch_prototypes": 4,
    "hidden_dim": 10,
    "bottleneck_dim": 5,
}


def make_head(**kwargs):
    return ProjectionHead(**{**SIZES, **kwargs})


def test_logits_equal_the_reference(golden_forward, golden_trajectory):
    head = build_reference_pretrainer(golden_trajectory).student.projection_head
    class_logits, patch_logits = head(golden_forward["features"])
    assert_close(class_logits, golden_forward["cls"], atol=1e-5)
    assert_close(patch_logits, golden_forward["data"], atol=1e-5)


def test_logits_are_cosines():
    head = make_head()
    class_logits, patch_logits = to_numpy(head(random_tokens(3, 7, 8)))
    assert class_logits.shape == (3, 6)
    assert patch_logits.shape == (3, 6, 4)
    assert np.abs(class_logits).max() <= 1
    assert np.abs(patch_logits).max() <= 1


def test_the_length_of_a_prototype_does_not_matter():
    head = make_head()
    tokens = random_tokens(3, 7, 8)
    before = to_numpy(head(tokens))
    direction = head.class_prototypes.direction
    direction.assign(direction * 5)
    assert_close(head(tokens), before, atol=1e-6)


def test_a_trainable_gain_scales_its_prototype():
    head = make_head(trainable_gain=True)
    tokens = random_tokens(3, 7, 8)
    class_logits, patch_logits = to_numpy(head(tokens))
    head.class_prototypes.gain.assign([1, 2, 3, 4, 5, 6])
    scaled_logits, same_logits = to_numpy(head(tokens))
    np.testing.assert_allclose(scaled_logits, class_logits * [1, 2, 3, 4, 5, 6], atol=1e-6)
    np.testing.assert_array_equal(same_logits, patch_logits)
    assert head.class_prototypes.gain.trainable


def test_prototypes_may_be_shared():
    head = make_head(num_patch_prototypes=None)
    tokens = random_tokens(2, 3, 8)
    tokens[:, 1:] = tokens[:, :1]
    class_logits, patch_logits = to_numpy(head(tokens))
    np.testing.assert_allclose(patch_logits[:, 0], class_logits, atol=1e-6)
    np.testing.assert_allclose(patch_logits[:, 1], class_logits, atol=1e-6)
    assert len(head.weights) == len(make_head_weights()) - 1


def make_head_weights():
    head = make_head()
    head.build((None, None, 8))
    return head.weights


def test_a_class_token_alone_has_no_patch_logits():
    class_logits, patch_logits = make_head()(random_tokens(3, 1, 8))
    assert class_logits.shape == (3, 6)
    assert patch_logits.shape == (3, 0, 4)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"trainable_gain": True}, {"num_patch_prototypes": None, "trainable_gain": True}],
)
def test_contract_of_the_projection_head(arguments):
    # The squares of the bottleneck's activations are too small for float16.
    tokens = random_tokens(2, 3, 8)
    run_layer_test(ProjectionHead, {**SIZES, **arguments}, tokens, half_precision_atol=0.02)


@pytest.mark.parametrize(
    "name", ["num_class_prototypes", "num_patch_prototypes", "hidden_dim", "bottleneck_dim"]
)
def test_sizes_of_the_projection_head_are_checked(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer.*{name}=0"):
        make_head(**{name: 0})


# --- Reconstruction ---

PAINTED = {"grid_shape": (3, 2), "patch_size": (4, 5), "hidden_dim": 10, "bottleneck_dim": 7}


def make_painter(**kwargs):
    return ReconstructionHead(**{**PAINTED, **kwargs})


def test_reconstruction_equals_the_reference(golden_forward, golden_trajectory):
    head = build_reference_pretrainer(golden_trajectory).student.reconstruction_head
    spectrograms = head(golden_forward["features"][:, 1:])
    assert_close(spectrograms, golden_forward["reconstruction"], atol=1e-5)


def test_every_token_paints_its_own_patch():
    head = make_painter()
    tokens = random_tokens(2, 6, 8)
    before = to_numpy(head(tokens))
    assert before.shape == (2, 12, 10)
    tokens[1, 3] += 1  # Second patch along time, second along mel.
    changed = to_numpy(head(tokens)) != before
    expected = np.zeros((2, 12, 10), bool)
    expected[1, 4:8, 5:10] = True
    np.testing.assert_array_equal(changed, expected)


def test_contract_of_the_reconstruction_head():
    run_layer_test(ReconstructionHead, PAINTED, random_tokens(2, 6, 8))


def test_the_number_of_tokens_must_be_that_of_patches():
    with pytest.raises(
        ValueError, match=r"as many tokens as patches, without \[CLS\].*\(2, 7, 8\)"
    ):
        make_painter()(ops.zeros((2, 7, 8)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid_shape": (3, 0)}, "`grid_shape` must be a positive integer"),
        ({"patch_size": None}, "`patch_size` must be an integer or a pair"),
        ({"hidden_dim": -1}, "`hidden_dim` must be a positive integer"),
        ({"bottleneck_dim": 0}, "`bottleneck_dim` must be a positive integer"),
    ],
)
def test_sizes_of_the_reconstruction_head_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_painter(**arguments)
