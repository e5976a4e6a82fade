"""The README's first command, in miniature."""

import re
import sys
from pathlib import Path

import pytest

from keras_asit.models import ASiTAudioConverter, ASiTBackbone

RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.py"


@pytest.fixture(scope="module")
def run(run_here, tmp_path_factory):
    """The quickstart's output folder and what it printed, after two epochs."""
    output = tmp_path_factory.mktemp("quickstart")
    return output, run_here("--epochs", 2, "--output", output)


@pytest.mark.slow
def test_prints_accuracies_of_three_kinds_of_features(run):
    rows = re.findall(r"^  (.+?) +(\d+\.\d)% +(\d+\.\d)%$", run[1], flags=re.MULTILINE)
    assert [row[0] for row in rows] == [
        "averages of the spectrogram",
        "untrained network",
        "pre-trained teacher",
    ]
    # 14 categories; whatever hears anything at all is far above chance.
    assert all(20 < float(accuracy) < 100 for row in rows for accuracy in row[1:])
    averages, untrained, pretrained = (float(row[2]) for row in rows)
    assert pretrained > untrained + 2 > averages + 2


@pytest.mark.slow
def test_writes_pictures_and_a_preset_that_loads(run):
    output, _ = run
    for picture in ("losses.png", "reconstruction.png"):
        assert (output / picture).read_bytes().startswith(b"\x89PNG")
    backbone = ASiTBackbone.from_preset(str(output / "preset"))
    converter = ASiTAudioConverter.from_preset(str(output / "preset"))
    assert backbone.spectrogram_shape == converter.audio_shape()


def test_says_in_one_line_that_a_folder_has_no_audio(tmp_path, complaint):
    printed = complaint("--audio", tmp_path)
    assert printed.startswith("quickstart.py: ")
    assert str(tmp_path) in printed


def test_asks_for_scikit_learn_before_it_trains(complaint, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert "pip install 'keras-asit[quickstart]'" in complaint("--output", tmp_path / "run")


@pytest.mark.slow
def test_without_matplotlib_all_but_the_pictures_is_there(run_here, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    printed = run_here("--epochs", 1, "--output", tmp_path)
    assert "pre-trained teacher" in printed
    assert capsys.readouterr().err.count("without matplotlib there is no loss curve") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]


def test_checks_flags_before_anything_else(complaint):
    assert "--epochs: must be at least 1, not 0" in complaint("--epochs", 0)
