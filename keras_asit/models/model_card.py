"""The model card of a preset: README.md, which tells of a network to people and to the hubs."""

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import keras_hub
import numpy as np

from keras_asit._arguments import check_instance, check_known, name_some
from keras_asit._files import write_whole

CARD, RECORD = "README.md", "training.json"
# A card with this line is written anew with the files that it tells of.
MARK = "<!-- Written by keras_asit from the files beside it; a card without this line is kept. -->"
# What a record may hold: texts, and dicts of texts and numbers.
TEXTS = ("name", "description", "recipe", "license")
TABLES = ("data", "settings", "last_epoch", "results")
# How to load what is of a class.
LOADING = {
    "ASiTBackbone": """import keras_asit
import keras_hub

backbone = keras_hub.models.Backbone.from_preset("hf://USER/MODEL")
converter = keras_hub.layers.AudioConverter.from_preset("hf://USER/MODEL")
tokens = backbone(converter(waveforms))  # (batch, 1 + patches, width), [CLS] first""",
    "ASiTAudioClassifier": """import keras_asit

classifier = keras_asit.models.ASiTAudioClassifier.from_preset("hf://USER/MODEL")
logits = classifier.predict(waveforms)  # (batch, classes)
table = keras_asit.evaluation.label_recordings(classifier, "recordings")""",
    "ASiTEventDetector": """import keras_asit

detector = keras_asit.models.ASiTEventDetector.from_preset("hf://USER/MODEL")
logits = detector.predict(waveforms)["strong"]  # (batch, steps, classes)""",
}


class SavedWithCard:
    """Save a preset with its model card; a base to be put before a backbone or a task."""

    def save_to_preset(
        self,
        preset_dir: str | os.PathLike,
        max_shard_size: float | None = 10,
        *,
        record: dict | None = None,
    ) -> None:
        """Save to a preset, a folder, and write its model card, README.md.

        The card is in the layout of the Hugging Face hub. A `README.md` that was not written by
        this, or whose last line was taken out, stays as it is.

        Args:
            preset_dir: str or path. The folder.
            max_shard_size: float. The largest size of a file of weights in GB; `None` for no
                limit. Defaults to `10`.
            record: dict. What the card shall tell of the weights: `"name"`, `"description"`,
                `"recipe"` (the program that trained them) and `"license"` (an identifier of the
                Hugging Face hub, or a sentence) are strs; `"data"`, `"settings"`, `"last_epoch"`
                (losses, ...) and `"results"` (numbers measured) are dicts. All are optional. It is
                kept beside the weights, as `training.json`. Defaults to `None`: the card says that
                nothing is known.

        Raises:
            ValueError: if the record has other keys.

        Example:
        ```python
        record = {"license": "cc-by-4.0", "data": {"recordings": 165}, "results": {"accuracy": 0.6}}
        backbone.save_to_preset("my_preset", record=record)
        ```
        """
        record = _checked(record or {})
        # The class after this one has it.
        super().save_to_preset(str(preset_dir), max_shard_size=max_shard_size)  # type: ignore[misc]
        path = Path(preset_dir) / RECORD
        # What is there may be of weights that are no more.
        path.unlink(missing_ok=True)
        if record:
            write_whole(path, json.dumps(record, indent=2, default=str).encode())
        write_model_card(preset_dir)


def write_model_card(preset_dir):
    """Write the card of what a folder holds, unless there is another or no backbone yet."""
    folder = Path(preset_dir)
    path = folder / CARD
    is_others = path.exists() and MARK.encode() not in path.read_bytes()
    if (folder / "config.json").exists() and not is_others:
        write_whole(path, _model_card(folder).encode(errors="replace"))


def upload_preset(uri: str, preset: str | os.PathLike) -> None:
    """Upload a preset to a hub with its model card, by `keras_hub.upload_preset`.

    Into a repository of the Hugging Face hub that has no card, KerasHub puts one of its own and
    then deletes the preset's. So the card goes there first.

    Args:
        uri: str. `"hf://USER/MODEL"` or `"kaggle://USER/MODEL/keras/VARIATION"`.
        preset: str or path. The folder that `save_to_preset` wrote.

    Raises:
        FileNotFoundError: if the folder holds no preset.

    Example:
    ```python
    keras_asit.models.upload_preset("hf://USER/MODEL", "runs/small/teacher")
    ```
    """
    write_model_card(preset)
    card = Path(preset) / CARD
    if uri.startswith("hf://") and card.exists():
        import huggingface_hub

        repository = huggingface_hub.create_repo(uri.removeprefix("hf://"), exist_ok=True).repo_id
        if not huggingface_hub.file_exists(repository, CARD):
            huggingface_hub.upload_file(path_or_fileobj=card, path_in_repo=CARD, repo_id=repository)
    keras_hub.upload_preset(uri, str(preset))


def _checked(record):
    check_instance("record", record, Mapping)
    check_known("A record", record, (*TEXTS, *TABLES))
    for name, value in record.items():
        check_instance(f'record["{name}"]', value, Mapping if name in TABLES else str)
    return {
        name: {key: _plain(each) for key, each in value.items()} if name in TABLES else value
        for name, value in record.items()
    }


def _plain(value):
    """Return a number of NumPy as one of Python; what is not finite, which JSON lacks, as text."""
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _model_card(folder):
    """Return the text of the card of a preset."""
    files = ("config.json", "task.json", "audio_converter.json", "metadata.json", RECORD)
    paths = {name.partition(".")[0]: folder / name for name in files}
    parts = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }
    record = parts.get("training", {})
    name = record.get("name", folder.resolve().name)
    kind = parts.get("task", parts["config"])["class_name"]
    sections = [
        f"---\n{_metadata(name, kind, record)}\n---",
        f"# {name}",
        " ".join([record.get("description", ""), *_architecture(kind, parts)]).strip(),
        "## How to load it",
        f"```python\n{LOADING.get(kind) or _loading_of_others(parts)}\n```",
        "A folder or a `kaggle://` handle may stand in the place of the address. Waveforms are "
        "(batch, samples) in [-1, 1].",
        "## How it was trained",
        *_training(record),
        "## What was measured",
        _table(record["results"]) if record.get("results") else "No results were recorded.",
        "## License",
        record.get("license", "No license of these weights is stated: ask who made them."),
        MARK,
    ]
    return "\n\n".join(sections) + "\n"


def _loading_of_others(parts):
    """Return how to load what is of a class of one's own, which must be known by then."""
    base = "Task" if "task" in parts else "Backbone"
    return f'import keras_hub\n\nmodel = keras_hub.models.{base}.from_preset("hf://USER/MODEL")'


def _metadata(name, class_name, record):
    """Return the head of a card, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    task = "feature-extraction" if class_name == "ASiTBackbone" else "audio-classification"
    license = record.get("license", "unknown")
    is_identifier = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license)
    numbers = {
        key: value
        for key, value in record.get("results", {}).items()
        if isinstance(value, float)  # Integers count clips.
    }
    data = record.get("data", {})
    data = str(data.get("tested_on", data.get("source", "unnamed")))
    # The hub knows no data set by this name, but wants one.
    of_data = {"task_type": task, "dataset_type": re.sub(r"[^\w.-]+", "-", data).strip("-.")}
    base = str(record.get("settings", {}).get("preset") or "")
    return ModelCardData(
        model_name=name,
        base_model=base.removeprefix("hf://") if base.startswith("hf://") else None,
        eval_results=[
            EvalResult(**of_data, dataset_name=data, metric_type=key, metric_value=value)
            for key, value in numbers.items()
        ]
        or None,
        library_name="keras-hub",
        license=license if is_identifier else "other",
        license_name=None if is_identifier else "see-below",
        pipeline_tag=task,
        tags=["keras-asit", "audio", "asit"],
    ).to_yaml()


def _architecture(class_name, parts):
    """Yield sentences on what a network is and what it reads."""
    config, count = parts["config"]["config"], parts["metadata"]["parameter_count"]
    frames, mels = config["spectrogram_shape"]
    yield (
        f"`{class_name}` of keras_asit, ASiT in Keras 3: an audio spectrogram transformer. "
        f"Blocks: {config['num_layers']}, {config['hidden_dim']} wide; parameters of the backbone: "
        f"{count:,}."
    )
    rate = parts.get("audio_converter", {}).get("config", {}).get("sample_rate")
    sound = f" of sound at {rate} Hz" if rate else ""
    yield f"It reads {frames} frames of 10 ms x {mels} mels{sound}."
    if names := parts.get("task", {}).get("config", {}).get("class_names"):
        yield f"Classes ({len(names)}): {name_some(names, 20)}."


def _training(record):
    """Yield paragraphs on how a network was trained."""
    recipe, data, settings = (record.get(name) for name in ("recipe", "data", "settings"))
    if not (recipe or data or settings):
        yield "That was not recorded."
    if recipe:
        yield f"By `{recipe}` of keras_asit."
    if data:
        yield _table(data)
    if last := record.get("last_epoch"):
        yield f"The last epoch:\n\n{_table(last)}"
    if settings:
        table = _table(settings)
        yield f"<details><summary>All settings</summary>\n\n{table}\n\n</details>"


def _table(values):
    rows = []
    for name, value in values.items():
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        rows.append(f"| {name.replace('_', ' ')} | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(["| | |", "|---|---|", *rows])
