"""The built-in presets: sizes, generations, published weights, and those in this package."""

import csv
import difflib
import os
import tempfile
import warnings
from pathlib import Path

import keras

from keras_asit._extras import check_extra

# A local file or folder, or a base URL, to take the published files from instead.
SOURCE_VARIABLE = "KERAS_ASIT_SOURCE"
RELEASE_URL = "https://github.com/fschmid56/PretrainedSED/releases/download/v0.0.1"

# Arguments of a backbone of each size.
SIZES = {
    "tiny": {"hidden_dim": 192, "num_layers": 12, "num_heads": 3, "mlp_dim": 768},
    "small": {"hidden_dim": 384, "num_layers": 12, "num_heads": 6, "mlp_dim": 1536},
    "base": {"hidden_dim": 768, "num_layers": 12, "num_heads": 12, "mlp_dim": 3072},
}
# Functions of a preset's name, a published file and the folder to write, by the file's suffix, and
# "vit", one of the weights of a vision transformer; `keras_asit.conversion` adds its own.
CONVERSIONS = {}

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


# Files of the names of AudioSet's classes, by what their labels are of.
CLASS_FILES = {
    "clips": "class_labels_indices.csv",
    "events in time": "strong_class_labels_indices.csv",
}
# What is trained on such labels.
TASKS = {None: None, "clips": "ASiTAudioClassifier", "events in time": "ASiTEventDetector"}


def _preset(size, parameters, sample_rate=16000, *, num_frames=592, file=None, labels=None):
    """Return a preset: an architecture, or a published file that may be fine-tuned on labels."""
    trained = "Pre-trained without labels on AudioSet." if file else "No weights: starts at random."
    if labels:
        trained += f" Then fine-tuned on AudioSet's labels of {labels}."
    license = "MIT, that of the repository that publishes the file; none is stated for the file"
    shape = (num_frames, 128)
    return {
        "metadata": {
            "description": f"ASiT-{size} for {sample_rate // 1000}-kHz audio. {trained}",
            "params": parameters,
            "sample_rate": sample_rate,
            "spectrogram_shape": shape,
            "source": f"{RELEASE_URL}/{file}" if file else "arXiv 2211.13189",
            "license": license if file else "Apache 2.0",
        },
        "backbone": {"spectrogram_shape": shape, **SIZES[size]},
        "converter": {"sample_rate": sample_rate, "num_frames": num_frames},
        "file": file,
        "folder": None,
        "task": TASKS[labels],
    }


# One of these is in each folder that is a preset.
PRESET_FILES = ("config.json", "preprocessor.json", "audio_converter.json")

PRESETS = {
    "asit_tiny_16k": _preset("tiny", 5_445_312),
    "asit_small_16k": _preset("small", 21_507_456),
    "asit_base_16k": _preset("base", 85_482_240),
    "asit_tiny_32k": _preset("tiny", 5_445_312, 32000),
    "asit_small_32k": _preset("small", 21_507_456, 32000),
    "asit_base_32k": _preset("base", 85_482_240, 32000),
    "asit_base_16k_audioset": _preset("base", 85_482_240, file="ASIT_ssl.pt"),
    "asit_base_16k_audioset_weak": _preset(
        "base", 85_635_840, num_frames=998, file="ASIT_weak.pt", labels="clips"
    ),
    "asit_base_16k_audioset_strong": _preset(
        "base", 85_635_840, num_frames=998, file="ASIT_strong_1.pt", labels="events in time"
    ),
    "asit_small_free_16k": {
        "metadata": {
            "description": "Small ASiT for 16-kHz audio of about a second. Taught by distillation "
            "from YAMNet, Google's speech embedding and Resemblyzer on freely licensed recordings.",
            "params": 4_877_056,
            "sample_rate": 16000,
            "spectrogram_shape": (96, 128),
            "source": "recipes/configs/asit_small_free_16k.md",
            "license": "Apache 2.0",
        },
        "file": None,
        "folder": Path(__file__).parent / "asit_small_free_16k",
        "task": None,
    },
}


def audioset_names(labels, number):
    """Return the names of AudioSet's classes that `labels` are of, or `None` if not `number`.

    This is the order that PretrainedSED's heads were trained in by all signs; that cannot be told
    from their weights.
    """
    path = Path(__file__).parent / "audioset" / CLASS_FILES[labels]
    with path.open(encoding="utf-8", newline="") as file:
        names = [row["display_name"] for row in csv.DictReader(file)]
    return names if len(names) == number else None


def listed_presets():
    """Return the built-in presets as KerasHub lists them: metadata by name."""
    return {name: {"metadata": preset["metadata"]} for name, preset in PRESETS.items()}


def may_hold(preset, task):
    """Return whether a preset can be one of a task, by the name of its class."""
    preset = os.fspath(preset)
    return preset not in PRESETS or PRESETS[preset]["task"] == task


def part_of(preset, part, load_weights=False):
    """Return the arguments of a `"backbone"` or `"converter"`, or `None` if a file is needed."""
    builtin = PRESETS.get(os.fspath(preset))
    if builtin is None or builtin["folder"] or (load_weights and builtin["file"]):
        return None
    if load_weights:
        warnings.warn(
            f"{preset!r} is an architecture without weights: it starts at random. Pass "
            "`load_weights=False` to show that this is meant.",
            stacklevel=3,
        )
    return builtin[part]


def locate(preset):
    """Return where KerasHub finds a preset: a built-in one with weights in its folder.

    That is made in a temporary one beside and then renamed: an interrupted call leaves nothing
    that a later one takes for the preset, and of two processes both use the first one's.
    """
    preset = os.fspath(preset)
    if preset not in PRESETS:
        _check_found(preset)
        return preset
    if PRESETS[preset]["folder"]:
        return str(PRESETS[preset]["folder"])
    folder = cache_folder() / preset
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{preset}-") as work:
            made = Path(work) / "preset"
            path = _fetch(preset, Path(work))
            CONVERSIONS[path.suffix](preset, path, made)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    return str(folder)


def _check_found(preset):
    """Raise `ValueError` if a preset is no handle, and no folder that may be one."""
    folder = Path(preset)
    if "://" in preset or any((folder / name).exists() for name in PRESET_FILES):
        return
    inside = [str(folder / name) for name in ("preset", "teacher") if (folder / name).is_dir()]
    near = inside or difflib.get_close_matches(preset, PRESETS, 1)
    raise ValueError(
        "`preset` must be a folder that `save_to_preset` wrote, a handle such as hf://USER/NAME, "
        f"or one of {', '.join(PRESETS)}. Received: preset={preset!r}."
        + (f" Did you mean {near[0]}?" if near else "")
    )


def has_weights(preset):
    """Return whether a preset has weights, as all have that are not built in."""
    builtin = PRESETS.get(os.fspath(preset))
    return builtin is None or bool(builtin["folder"] or builtin["file"])


def cache_folder():
    """Return the folder that converted presets are kept in, below Keras's own."""
    home = os.environ.get("KERAS_HOME", Path.home() / ".keras")
    return Path(home) / "models" / "keras_asit"


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
    try:
        check_extra("torch", "torch")
    except ImportError as error:
        raise ImportError(
            f"{name!r} is made of a file of PyTorch's, {source}/{file}. {error}"
        ) from None
    url = f"{source.rstrip('/')}/{file}"
    try:
        return Path(keras.utils.get_file(file, url, cache_dir=work, cache_subdir="download"))
    except Exception as error:  # Keras raises nothing more specific.
        raise OSError(
            f"{url} could not be downloaded for {name!r}: {error}. Without a connection, set the "
            f"environment variable {SOURCE_VARIABLE} to {file}, its folder, or another base URL."
        ) from error
