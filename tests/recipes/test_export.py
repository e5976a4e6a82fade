"""The recipe that exports: what it loads, what it says, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from export import FORMATS, INPUTS, find_recordings, load

from keras_asit.exporting import ExportedModel, exports, formats
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
)

RECIPE = Path(__file__).parents[2] / "recipes" / "export.py"


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """The folders of presets of a classifier and a detector, by the class."""
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone((48, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=48, num_mels=16))
    folders = {}
    for kind in (ASiTAudioClassifier, ASiTEventDetector):
        folders[kind] = str(tmp_path_factory.mktemp(kind.__name__))
        kind(backbone, 2, preprocessor, class_names=["drum", "bass"]).save_to_preset(folders[kind])
    return folders


def test_the_help_knows_all_formats_and_inputs():
    assert tuple(formats.FORMATS) == FORMATS and exports.INPUTS == INPUTS


def test_presets_are_loaded_as_what_they_are(presets, preset, tmp_path):
    for kind, folder in presets.items():
        model, converter = load(folder)
        assert type(model) is kind and converter is None
    model.save(tmp_path / "model.keras")
    assert type(load(str(tmp_path / "model.keras"))[0]) is ASiTEventDetector
    backbone, converter = load(preset)
    assert type(backbone) is ASiTBackbone
    assert converter.audio_shape() == backbone.spectrogram_shape


def test_recordings_of_the_quickstart_stand_in():
    paths, what = find_recordings(None)
    assert len(paths) == 15 and what == "recordings of quickstart_audio"
    assert len({Path(path).parent.name for path in paths}) > 5


def test_what_is_wrong_is_said_in_one_line(presets, tmp_path, complaint):
    folder = presets[ASiTAudioClassifier]
    (tmp_path / "there.onnx").touch()
    assert complaint(folder, "--output", tmp_path / "there.onnx").endswith(
        "there.onnx exists already; delete it or choose another path."
    )
    assert "must end in .onnx for onnx" in complaint(
        folder, "--format", "onnx", "--output", tmp_path / "network"
    )
    assert "invalid choice: 'tflite'" in complaint(
        folder, "--format", "tflite", "--output", tmp_path / "network"
    )


def test_a_process_of_its_own_starts_under_each_backend(tmp_path):
    # Here, all that the recipe imports is there before it.
    command = [sys.executable, str(RECIPE), "absent.keras", "--output", str(tmp_path / "a.onnx")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("export.py: File not found: filepath=absent")


@pytest.mark.slow
def test_a_classifier_is_exported_and_the_loss_is_printed(presets, tmp_path, run_here):
    output = tmp_path / "new" / "sounds.tflite"
    flags = ["--format", "litert", "--quantize", "--output", output]
    printed = run_here(presets[ASiTAudioClassifier], *flags)
    assert "Compared with Keras on 15 recordings of quickstart_audio" in printed
    assert "Decisions that are alike: " in printed
    exported = ExportedModel(output)
    assert exported.metadata["class_names"] == ["drum", "bass"]
    assert exported(np.zeros((2, 8000)))["logits"].shape == (2, 2)
