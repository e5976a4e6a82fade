"""PyTorch files, read and written: nothing in them is run, damage is one clear error."""

import argparse
import os
import sys

import numpy as np
import pytest
from keras import ops

from keras_asit.conversion import export_backbone, load_backbone, load_pretrainer
from keras_asit.models import ASiTBackbone


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch files are read and written by PyTorch")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_file_is_refused_and_runs_nothing(torch, golden, tmp_path):
    path = tmp_path / "hostile.pt"
    state = torch.load(golden / "sed_ssl.pt", weights_only=True)
    torch.save({**state, "hostile": Hostile(tmp_path / "owned")}, path)
    with pytest.raises(ValueError, match="nothing in it was run"):
        load_backbone(path, num_heads=2)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_one_clear_error(torch, golden, tmp_path, share):
    contents = (golden / "sed_ssl.pt").read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(contents[: int(share * len(contents))])
    with pytest.raises(ValueError, match=r"cut\.pt is"):
        load_backbone(path, num_heads=2)


def test_foreign_files_are_refused(torch, golden, tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        load_backbone(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("no weights at all\n" * 100)
    with pytest.raises(ValueError, match=r"text\.pt is"):
        load_backbone(tmp_path / "text.pt")
    with pytest.raises(ValueError, match=r"fbank\.npz is"):
        load_backbone(golden / "fbank.npz")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="no known layout"):
        load_backbone(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="no known layout"):
        load_backbone(tmp_path / "list.pt")


def test_an_error_names_the_extra(golden, tmp_path, monkeypatch):
    backbone = ASiTBackbone((32, 32), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    monkeypatch.setitem(sys.modules, "torch", None)
    for read in (load_backbone, load_pretrainer):
        with pytest.raises(ImportError, match=r"keras-asit\[torch\]"):
            read(golden / "official_checkpoint.pth")
    with pytest.raises(ImportError, match=r"keras-asit\[torch\]"):
        export_backbone(backbone, tmp_path / "backbone.pth")
    assert list(tmp_path.iterdir()) == []


# --- Written ---


def build(shape=(48, 128), **kwargs):
    return ASiTBackbone(shape, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, **kwargs)


def read(torch, path):
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, weights_only=True)


@pytest.mark.parametrize("layout", ["module", "training", "published"])
def test_a_round_trip_is_exact(torch, tmp_path, layout):
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
    torch, tmp_path, layout, shape, stride, told, recwarn
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
def test_the_original_file_comes_back(torch, golden, tmp_path, file, layout, prefix):
    original = read(torch, golden / file)
    original = original.get("teacher", original)
    heads = original[f"{prefix}cls_token"].shape[-1] // 8
    export_backbone(
        load_backbone(golden / file, num_heads=heads), tmp_path / "back.pt", layout=layout
    )
    exported = read(torch, tmp_path / "back.pt")
    exported = exported.get("teacher", exported)
    expected = {name: value for name, value in original.items() if name.startswith(prefix)}
    assert list(exported) == list(expected)
    for name, value in exported.items():
        assert value.dtype == expected[name].dtype
        assert torch.equal(value, expected[name]), name


def test_a_failed_export_leaves_what_was_there(torch, tmp_path, monkeypatch):
    path = tmp_path / "backbone.pt"
    path.write_text("precious")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        export_backbone(build(), path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_arguments_of_an_export_are_checked(torch, tmp_path):
    with pytest.raises(ValueError, match="`layout` must be one of"):
        export_backbone(build(), tmp_path / "backbone.pt", layout="onnx")
    with pytest.raises(ValueError, match="must be an ASiTBackbone"):
        export_backbone("backbone", tmp_path / "backbone.pt")
    quantized = build()
    quantized.quantize("int8")
    with pytest.raises(ValueError, match="quantized"):
        export_backbone(quantized, tmp_path / "backbone.pt")
