"""The built-in presets: sizes, generations, and published weights."""

import os
import tempfile
import warnings
from pathlib import Path

import keras

# A local file or folder, or a base URL, to take the published files from instead.
SOURCE_VARIABLE = "KERAS_ASIT_SOURCE"
RELEASE_URL = "https://github.com/fschmid56/PretrainedSED/releases/download/v0.0.1"

# Arguments of a backbone of each size.
SIZES = {
    "tiny": {"hidden_dim": 192, "num_layers": 12, "num_heads": 3, "mlp_dim": 768},
    "small": {"hidden_dim": 384, "num_layers": 12, "num_heads": 6, "mlp_dim": 1536},
    "base": {"hidden_dim": 768, "num_layers": 12, "num_heads": 12, "mlp_dim": 3072},
}
# Functions of a preset's name, a published file and the folder to write, by the file's suffix;
# `keras_asit.conversion` adds its own.
CONVERSIONS = {}

_PARAMETERS = {"tiny": 5_445_312, "small": 21_507_456, "base": 85_482_240}

# What the two generations of the method do differently in pre-training.
GENERATIONS = {
    1: {
        "drop_ratio": 0.7,
        "num_short_crops": 0,
        "num_patch_prototypes": 1024,
        "trainable_gain": False,
        "global_loss_weight": 1.0,
        "local_loss_weight": 1.0,
        "reconstruction_loss_weight": 2.0,
        "temperature_epochs": 30,
    },
    2: {
        "drop_ratio": 0.5,
        "num_short_crops": 4,
        "num_patch_prototypes": None,  # Those of [CLS] are shared.
        "trainable_gain": True,
        "global_loss_weight": 0.5,
        "local_loss_weight": 0.5,
        "reconstruction_loss_weight": 1.0,
        "temperature_epochs": 5,
    },
}


def _architecture(size, sample_rate=16000, num_frames=592, *, parameters=None, **metadata):
    return {
        "metadata": {
            "params": parameters or _PARAMETERS[size],
            "sample_rate": sample_rate,
            "spectrogram_shape": (num_frames, 128),
            **metadata,
        },
        "backbone": {"spectrogram_shape": (num_frames, 128), **SIZES[size]},
        "converter": {"sample_rate": sample_rate, "num_frames": num_frames},
        "file": None,
        "task": None,
    }


def _published(file, description, *, task=None, **kwargs):
    preset = _architecture(
        "base",
        description=f"{description} Pre-trained without labels on AudioSet at 16 kHz.",
        source=f"{RELEASE_URL}/{file}",
        license="MIT, that of the repository that publishes the file; none is stated for the file",
        **kwargs,
    )
    return {**preset, "file": file, "task": task}


PRESETS = {
    f"asit_{size}_{rate // 1000}k": _architecture(
        size,
        rate,
        description=(
            f"Architecture of ASiT-{size} for {rate // 1000}-kHz audio, 6 seconds. It has no "
            "weights: it starts at random."
        ),
        source="arXiv 2211.13189",
        license="Apache 2.0",
    )
    for rate in (16000, 32000)
    for size in SIZES
} | {
    "asit_base_16k_audioset": _published("ASIT_ssl.pt", "ASiT-base."),
    "asit_base_16k_audioset_weak": _published(
        "ASIT_weak.pt",
        "ASiT-base, then fine-tuned on AudioSet's labels of clips, for 10 seconds.",
        task="ASiTEventDetector",
        num_frames=998,
        parameters=85_635_840,
    ),
    "asit_base_16k_audioset_strong": _published(
        "ASIT_strong_1.pt",
        "ASiT-base, then fine-tuned on AudioSet's labels of events in time, for 10 seconds.",
        task="ASiTEventDetector",
        num_frames=998,
        parameters=85_635_840,
    ),
}


def listed_presets():
    """Return the built-in presets as KerasHub lists them: metadata by name."""
    return {name: {"metadata": preset["metadata"]} for name, preset in PRESETS.items()}


def may_hold(preset, task):
    """Return whether a preset can be one of a task, by the name of its class."""
    return preset not in PRESETS or PRESETS[preset]["task"] == task


def locate(preset):
    """Return where KerasHub finds a preset: a built-in one with weights in its folder.

    On first use, the published file is downloaded and converted in a temporary folder beside,
    which is then renamed: an interrupted call leaves nothing that a later one takes for the
    preset, and of two processes at once one wins and both use its folder.
    """
    if preset not in PRESETS:
        return preset
    folder = cache_folder() / preset
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{preset}-") as work:
            made = Path(work) / "preset"
            path = Path(_fetch(preset, Path(work)))
            CONVERSIONS[path.suffix](preset, path, made)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    return str(folder)


def cache_folder():
    """Return the folder that converted presets are kept in, below Keras's own."""
    home = os.environ.get("KERAS_HOME", Path.home() / ".keras")
    return Path(home) / "models" / "keras_asit"


def warn_of_random_start(name):
    """Say that a preset without weights was asked for with them."""
    warnings.warn(
        f"{name!r} is an architecture without weights: it starts at random. Pass "
        "`load_weights=False` to show that this is meant.",
        stacklevel=3,
    )


def _fetch(name, work):
    """Return the path of a published file, downloaded into `work` unless it is local."""
    file = PRESETS[name]["file"]
    source = os.environ.get(SOURCE_VARIABLE, RELEASE_URL)
    if "://" not in source:
        path = Path(source).expanduser()
        path = path / file if path.is_dir() else path
        if path.name != file or not path.is_file():
            raise FileNotFoundError(
                f"{SOURCE_VARIABLE}={source} leads to no file {file}, which {name!r} is made of."
            )
        return path
    url = f"{source.rstrip('/')}/{file}"
    try:
        return keras.utils.get_file(file, url, cache_dir=work, cache_subdir="download")
    except Exception as error:  # Keras raises nothing more specific.
        raise OSError(
            f"{url} could not be downloaded for {name!r}: {error}. Without a connection, set the "
            f"environment variable {SOURCE_VARIABLE} to a copy of {file}, to a folder that holds "
            "it, or to another base URL."
        ) from error
