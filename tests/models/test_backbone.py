"""The encoder: the reference's features, other sizes, presets and fine-tuning."""

import keras
import keras_hub
import numpy as np
import pytest
from golden_model import build_reference_pretrainer
from harness import assert_close, run_backbone_test, to_numpy

from keras_asit.layers import TokenPooling
from keras_asit.models import ASiTBackbone, ASiTPretrainer

SMALL = {
    "spectrogram_shape": (48, 32),
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 8,
    "mlp_dim": 16,
}


def random_spectrograms(*shape):
    return np.random.normal(size=shape).astype("float32")


def build_backbone(**kwargs):
    return ASiTBackbone(**{**SMALL, **kwargs})


@pytest.mark.parametrize(
    ("arguments", "num_tokens"),
    [
        ({"drop_path_rate": 0.1, "rematerialize": True}, 1 + 3 * 2),
        ({"patch_size": (16, 8), "patch_stride": (8, 8), "layer_norm_epsilon": 1e-5}, 1 + 5 * 4),
        ({"patch_stride": 8}, 1 + 5 * 3),
    ],
)
def test_is_a_backbone_of_a_class_token_and_one_token_a_patch(arguments, num_tokens):
    run_backbone_test(
        ASiTBackbone,
        {**SMALL, **arguments},
        random_spectrograms(3, 48, 32),
        expected_output_shape=(3, num_tokens, 8),
    )


def test_patches_are_a_grid_in_time_and_mel():
    assert build_backbone().grid_shape == (3, 2)
    assert build_backbone(patch_stride=8).grid_shape == (5, 3)


def test_features_equal_the_reference(golden_forward, golden_trajectory):
    backbone = build_reference_pretrainer(golden_trajectory).backbone
    features = backbone.predict(golden_forward["corrupted"], verbose=0)
    assert_close(features, golden_forward["features"], atol=1e-5)


def test_output_is_normalized():
    features = to_numpy(build_backbone()(random_spectrograms(3, 48, 32)))
    np.testing.assert_allclose(features.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(features.std(axis=-1), 1, atol=0.01)


def test_encode_equals_the_model_at_its_own_size():
    backbone = build_backbone()
    spectrograms = random_spectrograms(3, 48, 32)
    assert_close(backbone.encode(spectrograms), backbone(spectrograms), atol=1e-6)


def test_encode_takes_other_sizes():
    backbone = build_backbone()
    assert backbone.encode(random_spectrograms(2, 80, 32)).shape == (2, 1 + 5 * 2, 8)
    assert backbone.encode(random_spectrograms(2, 16, 48)).shape == (2, 1 + 1 * 3, 8)


def test_stochastic_depth_rises_linearly_over_the_blocks():
    backbone = build_backbone(num_layers=5, drop_path_rate=0.4)
    rates = [block.drop_path_rate for block in backbone.transformer_blocks]
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.3, 0.4])


def test_the_tiny_size_has_its_usual_number_of_parameters():
    backbone = ASiTBackbone(num_heads=3, hidden_dim=192, mlp_dim=768)
    embedding = 16 * 16 * 192 + 192 + 192 + (1 + 37 * 8) * 192
    block = 192 * 3 * 192 + 3 * 192 + 192 * 192 + 192 + 2 * 192 * 768 + 768 + 192 + 4 * 192
    assert backbone.count_params() == embedding + 12 * block + 2 * 192 == 5_445_312


def test_a_quantized_preset_loads_bit_exact(tmp_path):
    backbone = build_backbone()
    backbone.quantize("int8")
    backbone.save_to_preset(str(tmp_path))
    spectrograms = random_spectrograms(2, 48, 32)
    expected = to_numpy(backbone(spectrograms))
    for cls in (ASiTBackbone, keras_hub.models.Backbone):
        loaded = cls.from_preset(str(tmp_path))
        assert_close(loaded(spectrograms), expected, atol=0)
    longer = ASiTBackbone.from_preset(str(tmp_path), spectrogram_shape=(64, 32))
    assert longer.output_shape == (None, 9, 8)


def test_a_preset_may_load_without_its_weights(tmp_path):
    backbone = build_backbone()
    backbone.save_to_preset(str(tmp_path))
    fresh = ASiTBackbone.from_preset(str(tmp_path), load_weights=False)
    kernel, saved = fresh.patch_embedding.kernel, backbone.patch_embedding.kernel
    assert np.any(to_numpy(kernel) != to_numpy(saved))


def test_the_preset_of_a_teacher_loads_as_trainable(tmp_path):
    pretrainer = ASiTPretrainer(
        build_backbone(),
        num_class_prototypes=6,
        num_patch_prototypes=4,
        projection_hidden_dim=8,
        projection_bottleneck_dim=4,
        reconstruction_hidden_dim=8,
        reconstruction_bottleneck_dim=4,
    )
    assert pretrainer.teacher.backbone.trainable_variables == []
    pretrainer.teacher.backbone.save_to_preset(str(tmp_path))
    loaded = ASiTBackbone.from_preset(str(tmp_path))
    assert len(loaded.trainable_variables) == len(loaded.variables) > 0


def test_can_be_fine_tuned():
    backbone = build_backbone(num_layers=1)
    model = keras.Sequential(
        [backbone, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)]
    )
    # Under TensorFlow, tracing takes longer than five steps.
    eagerly = keras.config.backend() == "tensorflow"
    model.compile(keras.optimizers.Adam(0.01), loss="mse", run_eagerly=eagerly)
    spectrograms = random_spectrograms(16, 48, 32)
    labels = spectrograms.mean(axis=(1, 2))[:, None] * 30
    losses = model.fit(spectrograms, labels, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_lora_trains_the_attention_alone():
    backbone = build_backbone()
    spectrograms = random_spectrograms(2, 48, 32)
    before = to_numpy(backbone(spectrograms))
    backbone.enable_lora(rank=2)
    # Two matrices and the bias of the projection, in both blocks.
    names = {variable.path.split("/")[-2] for variable in backbone.trainable_variables}
    assert names == {"query_key_value"}
    assert len(backbone.trainable_variables) == 2 * 3
    assert_close(backbone(spectrograms), before, atol=1e-6)


@pytest.mark.slow
def test_int8_stays_near():
    backbone = ASiTBackbone((64, 32), num_layers=2, num_heads=2, hidden_dim=64, mlp_dim=128)
    spectrograms = np.random.default_rng(1).normal(size=(2, 64, 32)).astype("float32")
    before = to_numpy(backbone(spectrograms))
    backbone.quantize("int8")
    after = to_numpy(backbone(spectrograms))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, "`num_layers` must be a positive integer"),
        ({"drop_path_rate": 1}, "`drop_path_rate` must be a number between 0 and 0.999"),
        ({"spectrogram_shape": (48,)}, "`spectrogram_shape` must be an integer or a pair"),
        ({"spectrogram_shape": (8, 32)}, "smaller than a patch"),
        ({"num_heads": 3}, "multiple of `num_heads`"),
        ({"hidden_dim": None}, "`hidden_dim` must be a positive integer"),
        ({"mlp_dim": 0}, "`mlp_dim` must be a positive integer"),
        ({"layer_norm_epsilon": -1e-6}, "`layer_norm_epsilon` must be a number of at least 0"),
        ({"hiden_dim": 4}, "has no arguments 'hiden_dim'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(**arguments)


# --- A start from a vision transformer ---


def build_vit(**kwargs):
    return keras_hub.models.ViTBackbone(
        image_shape=(64, 64, 3),
        patch_size=16,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        data_format="channels_last",
        **kwargs,
    )


def test_features_of_a_gray_image_equal_the_vits():
    vit = build_vit()
    for weight in vit.weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.1))
    backbone = ASiTBackbone.from_vit(vit, spectrogram_shape=(64, 64))
    gray = np.random.default_rng(1).normal(size=(2, 64, 64)).astype("float32")
    expected = vit(np.repeat(gray[..., None], 3, axis=-1))
    assert_close(backbone(gray), expected, atol=1e-4)
    assert ASiTBackbone.from_vit(vit, (592, 128)).output_shape == (None, 297, 16)


def test_features_equal_those_of_deits_blocks_without_its_distillation_token():
    deit = keras_hub.models.DeiTBackbone(
        image_shape=(64, 64, 3),
        patch_size=16,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        data_format="channels_last",
    )
    for weight in deit.weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.1))
    backbone = ASiTBackbone.from_vit(deit, spectrogram_shape=(64, 64))
    gray = np.random.default_rng(1).normal(size=(2, 64, 64)).astype("float32")
    embedded = deit.get_layer("deit_patching_and_embedding")(np.repeat(gray[..., None], 3, axis=-1))
    without = keras.ops.concatenate([embedded[:, :1], embedded[:, 2:]], axis=1)
    expected, *_ = deit.get_layer("deit_encoder")(without)
    assert_close(backbone(gray), expected, atol=1e-5)


def test_what_is_no_such_vit_is_an_error():
    with pytest.raises(ValueError, match="ViTBackbone or DeiTBackbone"):
        ASiTBackbone.from_vit(build_backbone())
    with pytest.raises(ValueError, match="use_class_token=False"):
        ASiTBackbone.from_vit(build_vit(use_class_token=False))


def test_the_tokens_of_each_block_are_there_by_its_name():
    backbone, spectrograms = build_backbone(), random_spectrograms(3, 48, 32)
    tokens = keras.Model(backbone.input, backbone.block_outputs)(spectrograms)
    assert list(tokens) == ["transformer_block_0", "transformer_block_1"]
    last = backbone.norm(tokens["transformer_block_1"])
    assert_close(last, backbone(spectrograms), atol=1e-5)


def test_features_are_what_tokens_are_pooled_to():
    backbone, spectrograms = build_backbone(), random_spectrograms(3, 48, 32)
    spectrograms[0, 32:] = 0.5
    pool = TokenPooling("mel_rows_and_deviation", num_mel_patches=2)
    expected = pool(backbone(spectrograms), spectrograms)
    assert_close(backbone.feature_model(blocks=[-1])(spectrograms), expected, atol=1e-5)
    assert expected.shape == (3, 2 * 2 * 8)

    features = backbone.feature_model("cls", blocks=[0, -1])(spectrograms)
    first, last = backbone.block_outputs.values()
    tokens = keras.Model(backbone.input, [backbone.norm(first), backbone.norm(last)])(spectrograms)
    expected = keras.ops.concatenate([tokens[0][:, 0], tokens[1][:, 0]], axis=-1)
    assert_close(features, expected, atol=1e-5)


@pytest.mark.parametrize(("num_layers", "blocks"), [(1, [0]), (2, [0, 1]), (6, [1, 5])])
def test_an_early_block_and_the_last_are_the_default(num_layers, blocks):
    backbone = ASiTBackbone((32, 16), num_layers=num_layers, num_heads=1, hidden_dim=8, mlp_dim=8)
    spectrograms = random_spectrograms(3, 32, 16)
    expected = backbone.feature_model(blocks=blocks)(spectrograms)
    assert_close(backbone.feature_model()(spectrograms), expected, atol=1e-6)


@pytest.mark.parametrize("blocks", [[], [2], [-3], ["norm"]])
def test_blocks_that_are_not_there_are_refused(blocks):
    with pytest.raises(
        ValueError, match="`blocks` must be at least one of the integers from -2 to 1"
    ):
        build_backbone().feature_model(blocks=blocks)
