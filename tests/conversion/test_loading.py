"""Models from PyTorch files: parity for each layout, sizes, weights that do not fit."""

import argparse

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_asit.conversion import (
    export_backbone,
    load_backbone,
    load_event_detector,
    load_pretrainer,
)
from keras_asit.models import ASiTBackbone
from keras_asit.optimizers import AdamW

torch = pytest.importorskip("torch", reason="PyTorch files are read by PyTorch")

SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}


def values(tensor):
    return ops.convert_to_numpy(tensor)


def relative_difference(value, expected):
    return np.max(np.abs(values(value) - expected)) / np.max(np.abs(expected))


def read(path):
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, weights_only=True)


def patched(path, tmp_path, **changes):
    """Write a copy of a state dict with other values; None removes a name."""
    state = {**read(path), **changes}
    state = {name: value for name, value in state.items() if value is not None}
    torch.save(state, tmp_path / "patched.pt")
    return tmp_path / "patched.pt"


# --- Parity ---


@pytest.mark.parametrize("weights", ["teacher", "student"])
def test_first_generation_features_equal_the_reference(golden, golden_forward, weights):
    backbone = load_backbone(golden / "official_checkpoint.pth", weights=weights, num_heads=3)
    assert backbone.spectrogram_shape == (64, 32)
    features = backbone(golden_forward["corrupted"])
    assert relative_difference(features, golden_forward["features"]) < 1e-5


@pytest.mark.parametrize("frames", [592, 998, 208])
@pytest.mark.parametrize(
    "file", ["sed_strong.pt", "sed_ssl.pt", "second_generation_checkpoint.pth"]
)
def test_features_equal_those_of_pretrained_sed(golden, file, frames):
    # Its code reads the positions as 8 x 37 for whatever weights; here only for its own.
    stored_grid = None if file == "sed_strong.pt" else (8, 37)
    outputs = np.load(golden / "sed_outputs.npz")
    backbone = load_backbone(
        golden / file, spectrogram_shape=(frames, 128), num_heads=2, stored_grid=stored_grid
    )
    features = backbone(outputs[f"{frames}/spectrogram"])
    assert relative_difference(features, outputs[f"{frames}/features"]) < 1e-5


def test_self_supervised_positions_are_interpolated_as_they_were_learned(golden):
    backbone = load_backbone(golden / "sed_ssl.pt", spectrogram_shape=(208, 128), num_heads=2)
    stored = read(golden / "sed_ssl.pt")["model.pos_embed"][:, 1:]
    grid = stored.reshape(1, 37, 8, 16).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, size=(13, 8), mode="bicubic")
    expected = expected.permute(0, 2, 3, 1).reshape(1, 104, 16).numpy()
    positions = values(backbone.patch_embedding.position_embedding)[:, 1:]
    np.testing.assert_allclose(positions, expected, rtol=0, atol=1e-6)


def test_a_vision_transformer_sees_a_spectrogram_as_a_gray_image(tmp_path):
    generator = torch.Generator().manual_seed(1)
    source = ASiTBackbone((64, 64), **SIZES)
    with pytest.warns(UserWarning, match="cannot tell the shape of its patches"):
        export_backbone(source, tmp_path / "vit.pt")
    state = read(tmp_path / "vit.pt")
    state["patch_embed.proj.weight"] = 0.02 * torch.randn((16, 3, 16, 16), generator=generator)
    state["head.weight"], state["head.bias"] = torch.zeros(10, 16), torch.zeros(10)
    torch.save({"model": state}, tmp_path / "deit.pth")
    backbone = load_backbone(tmp_path / "deit.pth", num_heads=2, spectrogram_shape=(64, 64))
    gray = np.random.default_rng(1).normal(size=(2, 64, 64)).astype("float32")
    # The convolution of the image whose three channels are the spectrogram.
    image = torch.from_numpy(gray)[:, None].expand(-1, 3, -1, -1)
    patches = torch.nn.functional.conv2d(image, state["patch_embed.proj.weight"], stride=16)
    expected = (patches.flatten(2).transpose(1, 2) + state["pos_embed"][:, 1:]).numpy()
    tokens = values(backbone.patch_embedding(gray))[:, 1:]
    np.testing.assert_allclose(tokens, expected, rtol=0, atol=1e-4)
    assert load_backbone(tmp_path / "deit.pth", num_heads=2).spectrogram_shape == (592, 128)


# --- Sizes ---


def test_sizes_come_from_the_file(golden):
    config = load_backbone(golden / "sed_ssl.pt", num_heads=2).get_config()
    expected = {"spectrogram_shape": (592, 128), "num_layers": 2, "hidden_dim": 16, "mlp_dim": 64}
    assert {name: config[name] for name in expected} == expected
    strong = load_backbone(golden / "sed_strong.pt", num_heads=2)
    assert strong.spectrogram_shape == (998, 128)


def test_heads_are_of_64_unless_they_cannot_be(golden, tmp_path):
    source = ASiTBackbone((32, 128), num_layers=1, num_heads=2, hidden_dim=128, mlp_dim=128)
    export_backbone(source, tmp_path / "backbone.pt")
    assert load_backbone(tmp_path / "backbone.pt").num_heads == 2
    with pytest.raises(ValueError, match="`num_heads`"):
        load_backbone(golden / "sed_ssl.pt")


def test_other_arguments_reach_the_backbone(golden):
    backbone = load_backbone(
        golden / "sed_ssl.pt", num_heads=2, patch_stride=10, drop_path_rate=0.2
    )
    assert backbone.grid_shape == (58, 12)
    assert backbone.drop_path_rate == 0.2


# --- Weights that do not fit ---


def test_a_command_line_is_read_in_every_form(golden, tmp_path):
    contents = read(golden / "official_checkpoint.pth")
    for args in (contents["args"], vars(contents["args"])):
        torch.save({**contents, "args": args}, tmp_path / "checkpoint.pth")
        assert load_backbone(tmp_path / "checkpoint.pth", num_heads=3).spectrogram_shape == (64, 32)
        pretrainer = load_pretrainer(tmp_path / "checkpoint.pth", num_heads=3)
        assert pretrainer.backbone.spectrogram_shape == (64, 32)


def test_a_command_line_is_not_needed(golden, tmp_path):
    contents = read(golden / "second_generation_checkpoint.pth")
    args = contents.pop("args")
    expected = load_backbone(golden / "second_generation_checkpoint.pth", num_heads=2)
    for without in ({}, {"args": None}, {"args": vars(args)}, {"args": {}}):
        torch.save({**contents, **without}, tmp_path / "checkpoint.pth")
        pretrainer = load_pretrainer(tmp_path / "checkpoint.pth", num_heads=2)
        for backbone in (
            load_backbone(tmp_path / "checkpoint.pth", num_heads=2),
            pretrainer.teacher.backbone,
        ):
            assert backbone.spectrogram_shape == (592, 128)
            for weight, other in zip(backbone.weights, expected.weights):
                np.testing.assert_array_equal(values(weight), values(other))


def test_missing_surplus_and_misshapen_weights_are_named(golden, tmp_path):
    path = patched(
        golden / "sed_ssl.pt",
        tmp_path,
        **{
            "model.norm.bias": None,
            "model.extra": torch.zeros(1),
            "model.blocks.1.attn.proj.bias": torch.zeros(7),
        },
    )
    with pytest.raises(ValueError) as error:
        load_backbone(path, num_heads=2)
    for problem in (
        "norm.bias is missing",
        "extra is surplus",
        r"blocks.1.attn.proj.bias has shape (7,)",
    ):
        assert problem in str(error.value)


def test_positions_of_another_grid_are_an_error(golden):
    with pytest.raises(ValueError, match="296 patches, not of a grid of 8 x 30"):
        load_backbone(golden / "sed_ssl.pt", num_heads=2, stored_grid=(8, 30))


def test_other_weights_than_student_and_teacher_are_an_error(golden):
    with pytest.raises(ValueError, match="`weights` must be one of"):
        load_backbone(golden / "sed_ssl.pt", weights="best")


# --- Through KerasHub ---


def test_loaded_weights_become_a_preset(golden, tmp_path):
    backbone = load_backbone(golden / "sed_ssl.pt", num_heads=2)
    backbone.save_to_preset(str(tmp_path / "preset"))
    loaded = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    for weight, expected in zip(loaded.weights, backbone.weights):
        np.testing.assert_array_equal(values(weight), values(expected))


# --- Pretrainers ---


def test_outputs_of_the_first_generation_equal_the_reference(golden, golden_forward):
    pretrainer = load_pretrainer(golden / "official_checkpoint.pth", num_heads=3)
    for network in (pretrainer.student, pretrainer.teacher):
        for output, name in zip(
            network(golden_forward["corrupted"]), ("cls", "data", "reconstruction")
        ):
            expected = golden_forward[name]
            difference = np.abs(ops.convert_to_numpy(output) - expected).max()
            assert difference / np.abs(expected).max() < 1e-5, name


def test_centers_and_gains_are_loaded(golden):
    path = golden / "second_generation_checkpoint.pth"
    pretrainer = load_pretrainer(path, num_heads=2)
    center = read(path)["CLS_PATCH_loss"]["center"][0]
    for loss in (pretrainer.global_distillation, pretrainer.local_distillation):
        np.testing.assert_array_equal(ops.convert_to_numpy(loss.center), center)
    gain = read(path)["teacher"]["head.last_layer.weight_g"][:, 0]
    prototypes = pretrainer.teacher.projection_head.class_prototypes
    np.testing.assert_array_equal(ops.convert_to_numpy(prototypes.gain), gain)
    assert pretrainer.teacher.projection_head.patch_prototypes is prototypes

    path = golden / "official_checkpoint.pth"
    pretrainer = load_pretrainer(path, num_heads=3)
    for loss, name in (
        (pretrainer.global_distillation, "loss_cls"),
        (pretrainer.local_distillation, "loss_data"),
    ):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(loss.center), read(path)[name]["center"][0]
        )


@pytest.mark.parametrize(
    ("file", "heads"), [("official_checkpoint.pth", 3), ("second_generation_checkpoint.pth", 2)]
)
def test_training_goes_on(golden, file, heads):
    pretrainer = load_pretrainer(golden / file, num_heads=heads)
    pretrainer.compile(AdamW(1e-4), jit_compile=keras.config.backend() == "jax")
    shape = pretrainer.student.backbone.spectrogram_shape
    clean = np.random.default_rng(1).normal(size=(2, 2, *shape)).astype("float32")
    logs = pretrainer.evaluate({"clean": clean}, verbose=0, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())


def test_what_does_not_fit_is_named(golden, tmp_path):
    path = tmp_path / "checkpoint.pth"

    def load_with(change):
        contents = read(golden / "official_checkpoint.pth")
        change(contents)
        torch.save(contents, path)
        load_pretrainer(path, num_heads=3)

    with pytest.raises(ValueError, match=r"head_recons\.mlp\.2\.bias is missing"):
        load_with(lambda c: c["student"].pop("module.head_recons.mlp.2.bias"))
    with pytest.raises(ValueError, match=r"head_cls\.cls_layer\.weight_g is not 1"):
        load_with(lambda c: c["teacher"]["head_cls.cls_layer.weight_g"].mul_(2))
    with pytest.raises(ValueError, match=r"loss_cls\.center is missing"):
        load_with(lambda c: c.pop("loss_cls"))
    with pytest.raises(ValueError, match="no training checkpoint"):
        load_pretrainer(golden / "sed_ssl.pt")


# --- Event detectors ---


def test_a_window_is_of_10_seconds_by_default(golden):
    detector = load_event_detector(golden / "sed_strong.pt", num_heads=2)
    assert detector.window_seconds == 10
    shapes = {name: output.shape for name, output in detector.output.items()}
    assert shapes == {"strong": (None, 250, 7), "weak": (None, 5)}


def test_a_file_without_heads_is_an_error(golden):
    with pytest.raises(ValueError, match="no strong_head and no weak_head"):
        load_event_detector(golden / "sed_ssl.pt", num_heads=2)
