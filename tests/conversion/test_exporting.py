"""Backbones to PyTorch files and back."""

import argparse

import numpy as np
import pytest
from keras import ops

from keras_asit.conversion import export_backbone, load_backbone
from keras_asit.models import ASiTBackbone

torch = pytest.importorskip("torch", reason="PyTorch files are written by PyTorch")


def build(shape=(48, 128), **kwargs):
    return ASiTBackbone(shape, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, **kwargs)


def read(path):
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, weights_only=True)


@pytest.mark.parametrize("layout", ["module", "training", "published"])
def test_a_round_trip_is_exact(tmp_path, layout):
    backbone = build()
    export_backbone(backbone, tmp_path / "backbone.pt", layout=layout)
    loaded = load_backbone(tmp_path / "backbone.pt", num_heads=2)
    assert loaded.spectrogram_shape == (48, 128)
    for weight, expected in zip(loaded.weights, backbone.weights):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), ops.convert_to_numpy(expected))


@pytest.mark.parametrize(
    ("layout", "shape", "stride", "told"),
    [
        ("training", (64, 64), None, True),
        ("module", (64, 64), None, False),
        ("published", (96, 128), 10, False),
        ("training", (96, 128), 10, False),
    ],
)
def test_other_shapes_of_patches_come_back_as_the_warning_says(
    tmp_path, layout, shape, stride, told, recwarn
):
    backbone = build(shape, patch_stride=stride)
    export_backbone(backbone, tmp_path / "backbone.pt", layout=layout)
    arguments = {} if told else {"spectrogram_shape": shape, "patch_stride": stride}
    messages = [str(warning.message) for warning in recwarn if warning.category is UserWarning]
    assert any("load it with" in message for message in messages) != told
    loaded = load_backbone(tmp_path / "backbone.pt", num_heads=2, **arguments)
    assert loaded.spectrogram_shape == shape and loaded.grid_shape == backbone.grid_shape
    for weight, expected in zip(loaded.weights, backbone.weights):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), ops.convert_to_numpy(expected))


@pytest.mark.parametrize(
    ("file", "layout", "prefix"),
    [
        ("official_checkpoint.pth", "training", "backbone."),
        ("second_generation_checkpoint.pth", "training", "backbone."),
        ("sed_ssl.pt", "published", "model."),
    ],
)
def test_the_original_file_comes_back(golden, tmp_path, file, layout, prefix):
    original = read(golden / file)
    original = original.get("teacher", original)
    heads = original[f"{prefix}cls_token"].shape[-1] // 8
    export_backbone(
        load_backbone(golden / file, num_heads=heads), tmp_path / "back.pt", layout=layout
    )
    exported = read(tmp_path / "back.pt")
    exported = exported.get("teacher", exported)
    expected = {name: value for name, value in original.items() if name.startswith(prefix)}
    assert list(exported) == list(expected)
    for name, value in exported.items():
        assert value.dtype == expected[name].dtype
        assert torch.equal(value, expected[name]), name


def test_a_failed_export_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "backbone.pt"
    path.write_text("precious")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export_backbone(build(), path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_bad_arguments_are_errors(tmp_path):
    with pytest.raises(ValueError, match="`layout` must be one of"):
        export_backbone(build(), tmp_path / "backbone.pt", layout="onnx")
    with pytest.raises(ValueError, match="must be an ASiTBackbone"):
        export_backbone("backbone", tmp_path / "backbone.pt")
    quantized = build()
    quantized.quantize("int8")
    with pytest.raises(ValueError, match="quantized"):
        export_backbone(quantized, tmp_path / "backbone.pt")
