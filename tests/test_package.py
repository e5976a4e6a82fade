"""The public names, and what importing the package does not import."""

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import keras_asit

ROOT = Path(keras_asit.__file__).parents[1]


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


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """The folder of what a wheel of this package installs."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installation")
    for name in ("setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("keras_asit", "recipes"):
        shutil.copytree(ROOT / name, source / name)
    code = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    zipfile.ZipFile(next(source.glob("*.whl"))).extractall(folder)
    return folder


def run_command(installation, name, *arguments, after="pass"):
    """Run a command of an installation as its script would, and code after it."""
    (information,) = installation.glob("*.dist-info")
    entries = importlib.metadata.PathDistribution(information).entry_points
    (entry,) = entries.select(group="console_scripts", name=name)
    code = f"""
import sys
from {entry.module} import {entry.attr}
sys.argv[0] = "/bin/{name}"
try:
    {entry.attr}()
finally:
    {after}
"""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=installation,
        capture_output=True,
        text=True,
    )


def test_a_wheel_has_the_names_of_audioset_and_the_shipped_preset(installation):
    models = installation / "keras_asit" / "models"
    files = {"LICENSE.md", "class_labels_indices.csv", "strong_class_labels_indices.csv"}
    assert files <= {path.name for path in (models / "audioset").iterdir()}
    files = {"README.md", "SOURCES.csv", "audio_converter.json", "config.json", "metadata.json"}
    files.add("model.weights.h5")
    assert files <= {path.name for path in (models / "asit_small_free_16k").iterdir()}


def test_a_wheel_has_the_recipes_and_nothing_else_of_their_folder(installation):
    recipes = {path.name for path in (ROOT / "recipes").glob("*.py")} | {"quickstart_audio"}
    assert {path.name for path in (installation / "keras_asit_recipes").iterdir()} == recipes


@pytest.mark.parametrize(
    "name",
    [
        "asit-quickstart",
        "asit-pretrain",
        "asit-finetune",
        "asit-train-events",
        "asit-label",
        "asit-events",
        "asit-embed",
        "asit-export",
        "asit-check",
    ],
)
def test_the_help_of_a_command_imports_nothing_that_takes_seconds(installation, name):
    heavy = ("tensorflow", "jax", "torch", "keras.ops", "keras_hub", "keras_asit.models", "librosa")
    after = f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    result = run_command(installation, name, "--help", after=after)
    assert (result.returncode, result.stderr.strip()) == (0, "[]")
    assert result.stdout.startswith(f"usage: {name} [-h]")
    assert f"    {name}" in result.stdout


def test_a_command_does_what_its_recipe_does(installation, write_noise, tmp_path):
    write_noise("noise.wav")
    result = run_command(installation, "asit-check", tmp_path, "--output", tmp_path / "report.csv")
    assert result.returncode == 0, result.stderr
    assert "1 files; see" in result.stdout
    assert "noise.wav,ok" in (tmp_path / "report.csv").read_text()
    result = run_command(installation, "asit-check", tmp_path / "none")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("asit-check: ")


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
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
