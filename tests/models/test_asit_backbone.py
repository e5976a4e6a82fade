"""The encoder: parity with the original code, presets, sizes."""

import keras
import keras_hub
import numpy as np
import pytest
from golden_model import build_reference_pretrainer
from keras import ops

from keras_asit.models import ASiTBackbone

SMALL = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}


def spectrograms(frames=32, mels=32):
    return np.random.default_rng(1).normal(size=(3, frames, mels)).astype("float32")


def assert_equal(a, b, atol=0.0):
    np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=0, atol=atol)


def test_every_activation_equals_that_of_the_original_code(golden_forward, golden_trajectory):
    backbone = build_reference_pretrainer(golden_trajectory).student.backbone
    tokens = backbone.patch_embedding(golden_forward["corrupted"])
    assert_equal(tokens, golden_forward["tokens"], atol=1e-5)
    for index, block in enumerate(backbone.transformer_blocks):
        tokens = block(tokens)
        assert_equal(tokens, golden_forward[f"block_{index}"], atol=1e-5)
    assert_equal(backbone.norm(tokens), golden_forward["features"], atol=1e-5)
    assert_equal(backbone(golden_forward["corrupted"]), golden_forward["features"], atol=1e-5)


def test_tokens_are_the_class_token_and_patches_in_time_major_order():
    backbone = ASiTBackbone((48, 32), **SMALL)
    assert backbone.grid_shape == (3, 2)
    assert backbone.output_shape == (None, 1 + 3 * 2, 16)
    inputs = spectrograms(48)
    changed = np.copy(inputs)
    changed[:, 16:32, :16] += 1  # The second patch in time, the first in mel.
    embed = backbone.patch_embedding
    moved = np.abs(ops.convert_to_numpy(embed(changed) - embed(inputs))).sum(axis=(0, 2))
    assert np.flatnonzero(moved).tolist() == [1 + 2]


def test_tiny_has_the_usual_number_of_parameters():
    tiny = ASiTBackbone(num_heads=3, hidden_dim=192, mlp_dim=768)
    assert tiny.count_params() == 5_444_352


def test_encodes_spectrograms_of_another_length():
    backbone = ASiTBackbone((48, 32), **SMALL)
    assert backbone.encode(spectrograms(80)).shape == (3, 1 + 5 * 2, 16)
    assert_equal(backbone.encode(spectrograms(48)), backbone(spectrograms(48)), atol=1e-6)


def test_stochastic_depth_rises_from_zero_to_its_rate():
    backbone = ASiTBackbone((32, 32), **{**SMALL, "num_layers": 3}, drop_path_rate=0.2)
    rates = [block.drop_path_rate for block in backbone.transformer_blocks]
    np.testing.assert_allclose(rates, [0, 0.1, 0.2])


@pytest.mark.parametrize("loader", [keras_hub.models.Backbone, ASiTBackbone])
def test_a_preset_loads_bit_by_bit(loader, tmp_path):
    backbone = ASiTBackbone((32, 32), **SMALL, drop_path_rate=0.1, patch_stride=8)
    backbone.save_to_preset(str(tmp_path))
    loaded = loader.from_preset(str(tmp_path))
    assert isinstance(loaded, ASiTBackbone)
    assert loaded.get_config() == backbone.get_config()
    assert_equal(loaded(spectrograms()), backbone(spectrograms()))


def test_a_preset_loads_in_half_precision(tmp_path):
    backbone = ASiTBackbone((32, 32), **SMALL)
    backbone.save_to_preset(str(tmp_path))
    half = ASiTBackbone.from_preset(str(tmp_path), dtype="bfloat16")
    outputs = half(spectrograms())
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert_equal(ops.cast(outputs, "float32"), backbone(spectrograms()), atol=0.1)


def test_a_keras_file_loads_bit_by_bit(tmp_path):
    backbone = ASiTBackbone((32, 32), **SMALL)
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    assert_equal(loaded(spectrograms()), backbone(spectrograms()))


def test_low_rank_adapters_leave_few_weights_to_train():
    backbone = ASiTBackbone((32, 32), **SMALL)
    before = ops.convert_to_numpy(backbone(spectrograms()))
    for block in backbone.transformer_blocks:
        block.query_key_value.enable_lora(rank=2)
    names = [v.name for v in backbone.transformer_blocks[0].query_key_value.trainable_variables]
    assert any("lora" in name for name in names)
    assert_equal(backbone(spectrograms()), before, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 3}, "multiple of `num_heads`"),
        ({"num_layers": 0}, "num_layers"),
        ({"drop_path_rate": 1.5}, "drop_path_rate"),
        ({"patch_size": (64, 16)}, "smaller than a patch"),
        ({"patch_size": "16"}, "patch_size"),
    ],
)
def test_impossible_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        ASiTBackbone((32, 32), **{**SMALL, **arguments})
