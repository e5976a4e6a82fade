"""The public names, and what importing the package does not import."""

import importlib.metadata
import os
import re
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


REPOSITORY = "https://forge.example/team/keras_asit"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The path of a wheel of this package."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("keras_asit", "recipes"):
        shutil.copytree(ROOT / name, source / name)
    code = "from setuptools import build_meta; build_meta.build_wheel('.')"
    environment = {**os.environ, "REPOSITORY_URL": REPOSITORY}
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)
    return next(source.glob("*.whl"))


@pytest.fixture(scope="module")
def installation(wheel, tmp_path_factory):
    """The folder of what that wheel installs."""
    folder = tmp_path_factory.mktemp("installation")
    zipfile.ZipFile(wheel).extractall(folder)
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


def test_links_of_the_description_lead_to_the_repository(installation):
    (path,) = installation.glob("*.dist-info/METADATA")
    description = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", description)
    assert len(links) > 20 and all(link.startswith("https://") for link in links)
    files = [link.removeprefix(REPOSITORY) for link in links if link.startswith(REPOSITORY)]
    assert "/raw/main/docs/images/events.png" in files
    assert all((ROOT / file.split("/main/")[1]).exists() for file in files)
    assert f"Project-URL: Source, {REPOSITORY}" in description


def test_the_oldest_versions_are_pinned_as_they_are_promised():
    promised = re.findall(r'"([\w-]+)(?:\[\w+\])?>=([\d.]+)"', (ROOT / "setup.py").read_text())
    pins = (ROOT / ".github" / "oldest.txt").read_text()
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", pins, re.MULTILINE))
    assert {"keras", "keras-hub", "numpy", "tensorflow"} <= set(pinned)
    # The pin may be more exact: 2.17.1 of >=2.17.
    floors = {name: version for name, version in promised if name in pinned}
    assert floors.keys() == pinned.keys()
    for name, version in floors.items():
        assert f"{pinned[name]}.".startswith(f"{version}."), name


COMMANDS = [
    "asit-quickstart",
    "asit-pretrain",
    "asit-finetune",
    "asit-train-events",
    "asit-label",
    "asit-events",
    "asit-embed",
    "asit-export",
    "asit-check",
]


@pytest.mark.parametrize("name", COMMANDS)
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


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The scripts of an environment with the wheel, which no process reaches a network from.

    What the wheel depends on is that of the environment of the tests.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, env=without_source(), check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # Only what lies there: no .pth file of that folder, as editable installations have, counts.
    paths = [path for path in sys.path if path.endswith("site-packages")]
    (site / "others.pth").write_text("\n".join(paths))
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    return folder / "bin"


def without_source():
    """Return the variables of this process, without a path to the source, which would be found."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


NO_NETWORK = """
import socket

def refuse(*arguments, **options):
    raise RuntimeError(f"The network is asked for: {arguments}")

socket.getaddrinfo = socket.create_connection = refuse
"""


@pytest.mark.slow
def test_the_wheel_alone_runs_its_commands_without_a_network(environment, tmp_path):
    def run(name, *arguments):
        command = [environment / name, *map(str, arguments)]
        result = subprocess.run(
            command, cwd=tmp_path, env=without_source(), capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    where = run("python", "-c", "import keras_asit; print(keras_asit.__file__)")
    assert Path(where.strip()).is_relative_to(environment.parent)
    for name in COMMANDS:
        assert run(name, "--help").startswith(f"usage: {name} ")
    # By the recordings in the wheel.
    assert "Accuracy over 14 categories" in run("asit-quickstart", "--epochs", 1)
    (audio,) = environment.parent.rglob("quickstart_audio")
    sounds, short = tmp_path / "sounds", ["--epochs", 1, "--batch-size", 8, "--freeze"]
    for name in ("vinyl", "snare"):
        shutil.copytree(audio / name, sounds / name)
    preset = ["--preset", "asit_small_free_16k"]
    run("asit-finetune", sounds, *preset, *short, "--validation-share", 0, "--output", "run")
    assert "8 of 8 recordings labeled" in run("asit-label", sounds, "--preset", "run/preset")
    assert "8 of 8 recordings embedded" in run("asit-embed", sounds, *preset)


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
