"""A start from a ViT or DeiT by its names in timm and in transformers, of both its generations."""

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_asit.models import ASiTBackbone

WIDTH, DEPTH = 16, 2
# Names of a block's layers: query, key and value, or all in one; the others in order.
TIMM = ("blocks", ["attn.qkv"], "attn.proj", "norm1", "norm2", "mlp.fc1", "mlp.fc2")
FOUR = (
    "encoder.layer",
    [f"attention.attention.{name}" for name in ("query", "key", "value")],
    "attention.output.dense",
    "layernorm_before",
    "layernorm_after",
    "intermediate.dense",
    "output.dense",
)
FIVE = (
    "layers",
    [f"attention.{name}_proj" for name in "qkv"],
    "attention.o_proj",
    *FOUR[3:5],
    "mlp.fc1",
    "mlp.fc2",
)


@pytest.fixture
def deit():
    deit = keras_hub.models.DeiTBackbone(
        (64, 64, 3), 16, DEPTH, 2, WIDTH, 32, data_format="channels_last"
    )
    for weight in deit.weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.1))
    return deit


def state_of(deit, names, *, prefix="", distilled=True):
    """Return a state dict of arrays, in PyTorch's arrangement, by names of timm or transformers."""
    patching, encoder = (
        deit.get_layer("deit_patching_and_embedding"),
        deit.get_layer("deit_encoder"),
    )
    positions = ops.convert_to_numpy(patching.position_embedding)
    tokens = {
        "cls_token": ops.convert_to_numpy(patching.class_token),
        "dist_token": ops.convert_to_numpy(patching.distillation_token),
        "pos_embed": positions if distilled else np.delete(positions, 1, axis=1),
    }
    if not distilled:
        del tokens["dist_token"]
    kernel, bias = patching.patch_embedding.get_weights()
    convolution = {"weight": kernel.transpose(3, 2, 0, 1), "bias": bias}
    if names is TIMM:
        state = {**tokens, **{f"patch_embed.proj.{key}": convolution[key] for key in convolution}}
    else:
        spelled = {"dist_token": "distillation_token", "pos_embed": "position_embeddings"}
        state = {f"embeddings.{spelled.get(key, key)}": tokens[key] for key in tokens}
        projection = "embeddings.patch_embeddings.projection"
        state |= {f"{projection}.{key}": convolution[key] for key in convolution}
    for index, source in enumerate(encoder.encoder_layers):
        state |= block_state(source, f"{names[0]}.{index}", names[1:])
    state |= layer_state("norm" if names is TIMM else "layernorm", encoder.layer_norm)
    return {prefix + name: value for name, value in state.items()}


def block_state(source, block, names):
    (first, *others), *rest = names
    mha = source.mha
    parts = [layer_state("", layer) for layer in (mha.query_dense, mha.key_dense, mha.value_dense)]
    if others:
        state = {
            f"{block}.{name}{kind}": part[kind]
            for name, part in zip([first, *others], parts)
            for kind in part
        }
    else:
        state = {
            f"{block}.{first}{kind}": np.concatenate([part[kind] for part in parts])
            for kind in parts[0]
        }
    layers = (
        mha.output_dense,
        source.layer_norm_1,
        source.layer_norm_2,
        source.mlp.dense,
        source.output_layer.dense,
    )
    for name, layer in zip(rest, layers):
        state |= layer_state(f"{block}.{name}", layer)
    return state


def layer_state(name, layer):
    weight, bias = layer.get_weights()
    if isinstance(layer, keras.layers.EinsumDense):
        weight = weight.reshape(WIDTH, WIDTH)
    return {f"{name}.weight": weight.T, f"{name}.bias": bias.reshape(-1)}


def assert_same(backbone, expected):
    gray = np.random.default_rng(1).normal(size=(2, *expected.spectrogram_shape)).astype("float32")
    values = map(ops.convert_to_numpy, (backbone(gray), expected(gray)))
    np.testing.assert_allclose(*values, rtol=0, atol=1e-5)


HEADS = {
    "timm": ("head", "head_dist"),
    "transformers": ("cls_classifier", "distillation_classifier"),
}
NAMES = [(TIMM, ""), (FOUR, "deit."), (FIVE, "deit."), (FOUR, ""), (FIVE, "")]


@pytest.mark.parametrize(("names", "prefix"), NAMES)
def test_features_are_those_of_the_same_deit_in_keras_hub(deit, names, prefix):
    state = state_of(deit, names, prefix=prefix)
    for head in HEADS["timm" if names is TIMM else "transformers"]:
        state |= {f"{head}.weight": np.zeros((3, WIDTH)), f"{head}.bias": np.zeros(3)}
    for shape in ((64, 64), (96, 32)):
        assert_same(
            ASiTBackbone.from_vit(state, shape, num_heads=2), ASiTBackbone.from_vit(deit, shape)
        )


@pytest.mark.parametrize(("names", "prefix"), [(TIMM, ""), (FOUR, "vit."), (FIVE, "")])
def test_a_vit_without_distillation_token_has_all_its_positions(deit, names, prefix):
    state = state_of(deit, names, prefix=prefix, distilled=False)
    if names is not TIMM:
        state |= {"pooler.dense.weight": np.zeros((WIDTH, WIDTH)), "classifier.bias": np.zeros(2)}
    backbone = ASiTBackbone.from_vit(state, (64, 64), num_heads=2, drop_path_rate=0.1)
    assert backbone.drop_path_rate == 0.1
    assert_same(backbone, ASiTBackbone.from_vit(deit, (64, 64)))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_from_a_file(deit, tmp_path, suffix):
    torch = pytest.importorskip("torch", reason="the files are PyTorch's")
    path = tmp_path / f"deit{suffix}"
    state = state_of(deit, FIVE, prefix="deit.")
    tensors = {name: torch.from_numpy(value).contiguous() for name, value in state.items()}
    if suffix == ".pth":
        torch.save(tensors, path)
    else:
        from safetensors.torch import save_file

        save_file(tensors, path)
    backbone = ASiTBackbone.from_vit(path, (64, 64), num_heads=2)
    assert_same(backbone, ASiTBackbone.from_vit(deit, (64, 64)))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        ASiTBackbone.from_vit(path, num_heads=2)


def test_what_does_not_fit_is_named(deit):
    state = state_of(deit, FIVE, prefix="deit.")
    state["deit.layers.0.gamma"] = np.zeros(WIDTH)
    del state["deit.layers.1.attention.k_proj.weight"]
    with pytest.raises(ValueError, match=r"blocks\.0\.gamma is surplus") as error:
        ASiTBackbone.from_vit(state, (64, 64), num_heads=2)
    assert "blocks.1.attn.qkv.weight has shape (32, 16)" in str(error.value)
    with pytest.raises(ValueError, match="the state dict is of no known layout"):
        ASiTBackbone.from_vit({"weight": np.zeros(3)})
