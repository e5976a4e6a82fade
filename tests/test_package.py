"""The public names, and what importing the package does not import."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras_asit


def test_public_names():
    assert {"layers", "losses", "models", "optimizers", "schedules"} <= set(keras_asit.__all__)
    assert set(keras_asit.layers.__all__) == {
        "FramePooling",
        "GroupMasking",
        "LogMelFilterbank",
        "NoiseAndShift",
        "PatchEmbedding",
        "ProjectionHead",
        "ReconstructionHead",
        "SpecAugment",
        "TokenPooling",
        "TransformerBlock",
    }
    assert set(keras_asit.losses.__all__) == {"DistillationLoss", "MaskedReconstructionLoss"}
    models = {
        "ASiTAudioClassifier",
        "ASiTAudioClassifierPreprocessor",
        "ASiTAudioConverter",
        "ASiTBackbone",
        "ASiTEventDetector",
        "ASiTPretrainer",
        "pretraining_recipe",
    }
    assert models <= set(keras_asit.models.__all__)
    records = {"holds_records", "read_record_index", "write_records"}
    assert records <= set(keras_asit.data.__all__)
    assert "AdamW" in keras_asit.optimizers.__all__
    assert {"WarmupCosine", "WarmupStepDecay"} <= set(keras_asit.schedules.__all__)


def test_every_public_name_exists_and_is_documented():
    for module_name in keras_asit.__all__:
        module = getattr(keras_asit, module_name)
        assert module.__doc__
        for name in module.__all__:
            assert getattr(module, name).__doc__, name


def test_a_wheel_has_the_names_of_audioset_and_the_shipped_preset(tmp_path):
    root = Path(keras_asit.__file__).parents[1]
    for name in ("setup.py", "README.md"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "keras_asit", tmp_path / "keras_asit")
    code = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    files = ["LICENSE.md", "class_labels_indices.csv", "strong_class_labels_indices.csv"]
    assert {f"keras_asit/models/audioset/{file}" for file in files} <= set(names)
    files = ["README.md", "SOURCES.csv", "audio_converter.json", "config.json", "metadata.json"]
    files.append("model.weights.h5")
    assert {f"keras_asit/models/asit_small_free_16k/{file}" for file in files} <= set(names)


def test_import_leaves_audio_and_plotting_libraries_alone():
    # Keras itself imports some of them where they are installed.
    code = """
import sys
import keras_hub
before = set(sys.modules)
import keras_asit
heavy = {"librosa", "soundfile", "soxr", "matplotlib", "sklearn", "tensorboard", "apache_beam"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    root = Path(keras_asit.__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
