"""PyTorch files: nothing in them is run, damage is one clear error, and PyTorch is optional."""

import os
import sys

import pytest

from keras_asit.conversion import export_backbone, load_backbone, load_pretrainer
from keras_asit.models import ASiTBackbone


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_file_is_refused_and_runs_nothing(golden, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "hostile.pt"
    state = torch.load(golden / "sed_ssl.pt", weights_only=True)
    torch.save({**state, "hostile": Hostile(tmp_path / "owned")}, path)
    with pytest.raises(ValueError, match="nothing in it was run"):
        load_backbone(path, num_heads=2)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_one_clear_error(golden, tmp_path, share):
    pytest.importorskip("torch")
    contents = (golden / "sed_ssl.pt").read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(contents[: int(share * len(contents))])
    with pytest.raises(ValueError, match=r"cut\.pt is"):
        load_backbone(path, num_heads=2)


def test_foreign_files_are_refused(golden, tmp_path):
    torch = pytest.importorskip("torch")
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
