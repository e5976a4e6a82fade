"""Patch embedding: the reference's tokens, their order, and other sizes."""

from pathlib import Path

import keras
import numpy as np
import pytest
from golden_model import build_reference_pretrainer
from harness import (
    assert_close,
    run_layer_test,
    to_numpy,
)
from keras import ops

from keras_asit.layers import PatchEmbedding

BICUBIC = Path(__file__).parents[1] / "golden" / "bicubic.npz"


def random_spectrograms(*shape):
    return np.random.normal(size=shape).astype("float32")


ARGUMENTS = {"hidden_dim": 6, "spectrogram_shape": (12, 8), "patch_size": 4}


def make_embedding(**kwargs):
    return PatchEmbedding(**{**ARGUMENTS, **kwargs})


def test_tokens_equal_the_reference(golden_forward, golden_trajectory):
    backbone = build_reference_pretrainer(golden_trajectory).student.backbone
    tokens = backbone.patch_embedding(golden_forward["corrupted"])
    assert_close(tokens, golden_forward["tokens"], atol=1e-5)


def test_the_class_token_comes_first_with_its_own_position():
    embedding = make_embedding()
    tokens = to_numpy(embedding(random_spectrograms(2, 12, 8)))
    class_token, positions = to_numpy((embedding.class_token, embedding.position_embedding))
    assert tokens.shape == (2, 1 + 3 * 2, 6)
    expected = np.broadcast_to(class_token[0, 0] + positions[0, 0], (2, 6))
    np.testing.assert_allclose(tokens[:, 0], expected, atol=1e-6)


def test_patches_are_in_time_major_order():
    embedding = make_embedding()
    embedding.build()
    embedding.position_embedding.assign(np.zeros((1, 7, 6)))
    spectrograms = np.zeros((1, 12, 8), "float32")
    spectrograms[0, 4:8, 4:8] = 1  # Second patch along time, second along mel.
    tokens = to_numpy(embedding(spectrograms))[0, 1:]
    np.testing.assert_array_equal(np.any(tokens != 0, axis=1), [0, 0, 0, 1, 0, 0])


def test_patches_are_multiplied_by_the_kernel():
    embedding = make_embedding()
    spectrograms = random_spectrograms(2, 12, 8)
    tokens = to_numpy(embedding(spectrograms))[:, 1:]
    kernel, bias, positions = to_numpy(
        (embedding.kernel, embedding.bias, embedding.position_embedding)
    )
    patches = spectrograms.reshape(2, 3, 4, 2, 4).transpose(0, 1, 3, 2, 4).reshape(2, 6, 16)
    expected = patches @ kernel.reshape(16, 6) + bias + positions[:, 1:]
    np.testing.assert_allclose(tokens, expected, atol=1e-5)


@pytest.mark.parametrize("grid_shape", [(8, 6), (3, 2), (7, 3), (1, 1), (13, 4)])
def test_positions_of_other_sizes_are_interpolated_as_pytorch_does(grid_shape):
    # The reference is torch.nn.functional.interpolate(mode="bicubic", align_corners=False) of a
    # grid of (5, 3) positions.
    reference = np.load(BICUBIC)
    embedding = make_embedding(hidden_dim=2, spectrogram_shape=(20, 12))
    embedding.build()
    positions = np.concatenate([[[5.0, 6.0]], reference["grid"].reshape(15, 2)])
    embedding.position_embedding.assign(positions[None])
    embedding.class_token.assign(np.zeros((1, 1, 2)))
    # A blank spectrogram has no other tokens than the positions.
    rows, columns = grid_shape
    tokens = to_numpy(embedding(np.zeros((1, 4 * rows, 4 * columns), "float32")))[0]
    np.testing.assert_allclose(tokens[0], [5, 6], atol=1e-6)
    expected = reference[f"{rows}x{columns}"].reshape(-1, 2)
    np.testing.assert_allclose(tokens[1:], expected, atol=1e-5)


def test_frames_and_mels_beyond_the_last_patch_are_ignored():
    embedding = make_embedding()
    spectrograms = random_spectrograms(2, 15, 11)
    assert_close(embedding(spectrograms), embedding(spectrograms[:, :12, :8]), atol=1e-6)


def test_patches_may_overlap():
    embedding = make_embedding(patch_stride=(2, 4))
    assert embedding.grid_shape == (5, 2)
    spectrograms = random_spectrograms(1, 12, 8)
    tokens = to_numpy(embedding(spectrograms))
    assert tokens.shape == (1, 1 + 5 * 2, 6)
    kernel, positions = to_numpy((embedding.kernel, embedding.position_embedding))
    patch = spectrograms[0, 2:6, 4:8].reshape(16)  # Second along time, second along mel.
    expected = patch @ kernel.reshape(16, 6) + positions[0, 1 + 3]
    np.testing.assert_allclose(tokens[0, 1 + 3], expected, atol=1e-5)


def test_patches_may_be_oblong():
    embedding = make_embedding(patch_size=(2, 8))
    assert embedding.grid_shape == (6, 1)
    assert embedding(random_spectrograms(1, 12, 8)).shape == (1, 7, 6)


@pytest.mark.parametrize("shape", [(2, 12, 8), (2, 8, 16)])
def test_layer_contract(shape):
    run_layer_test(PatchEmbedding, {**ARGUMENTS, "patch_stride": 4}, random_spectrograms(*shape))


def test_everything_is_trained():
    embedding = make_embedding()
    embedding.build()
    names = [variable.name for variable in embedding.trainable_variables]
    assert sorted(names) == ["bias", "class_token", "kernel", "position_embedding"]


def test_weights_start_as_a_narrow_normal():
    embedding = make_embedding(hidden_dim=64)
    embedding.build()
    for weight in to_numpy([embedding.kernel, embedding.position_embedding]):
        assert abs(weight.std() - 0.0176) < 0.003  # 0.02, cut off at twice that.
        assert np.abs(weight).max() <= 0.04
    assert not np.any(to_numpy(embedding.bias))


def test_layer_contract_with_overlap():
    arguments = {**ARGUMENTS, "patch_stride": 2}
    run_layer_test(PatchEmbedding, arguments, random_spectrograms(2, 12, 8))


def test_spectrograms_smaller_than_a_patch_are_refused():
    embedding = make_embedding()
    with pytest.raises(ValueError, match=r"\(3, 8\).*is smaller than a patch of \(4, 4\)"):
        embedding(ops.zeros((1, 3, 8)))
    with pytest.raises(ValueError, match="smaller than a patch"):
        make_embedding(spectrogram_shape=(12, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_dim": 0}, "`hidden_dim` must be a positive integer"),
        ({"patch_size": (4, 4, 1)}, "`patch_size` must be an integer or a pair"),
        ({"patch_size": 0}, "`patch_size` must be a positive integer"),
        ({"patch_stride": 2.5}, "`patch_stride` must be an integer or a pair"),
        ({"spectrogram_shape": "12x8"}, "`spectrogram_shape` must be an integer or a pair"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_embedding(**arguments)


def test_gradients_reach_interpolated_positions():
    embedding = make_embedding()
    inputs = keras.Input((8, 16))
    model = keras.Model(inputs, embedding(inputs))
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    before = to_numpy(embedding.position_embedding)
    model.train_on_batch(random_spectrograms(4, 8, 16), np.ones((4, 9, 6), "float32"))
    assert np.all(to_numpy(embedding.position_embedding) != before)


@pytest.mark.parametrize("shape", [(32, 16), (2, 32, 16, 1)])
def test_other_ranks_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, frames, mels\)"):
        PatchEmbedding(8, (32, 16))(ops.zeros(shape))
