"""PyTorch is needed for its own files only, and an error says so."""

import sys

import pytest

from keras_asit.conversion import export_backbone, load_backbone, load_pretrainer
from keras_asit.models import ASiTBackbone


def test_an_error_names_the_extra(golden, tmp_path, monkeypatch):
    backbone = ASiTBackbone((32, 32), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    monkeypatch.setitem(sys.modules, "torch", None)
    for read in (load_backbone, load_pretrainer):
        with pytest.raises(ImportError, match=r"keras-asit\[torch\]"):
            read(golden / "official_checkpoint.pth")
    with pytest.raises(ImportError, match=r"keras-asit\[torch\]"):
        export_backbone(backbone, tmp_path / "backbone.pth")
    assert list(tmp_path.iterdir()) == []
