"""Which audio files a folder or a manifest names, and their labels."""

import collections
import json
import os
import warnings

from keras_asit.arguments import check_choice
from keras_asit.data.labeled_clips import LabeledClips
from keras_asit.data.read_manifest import (
    AUDIO_SUFFIXES,
    PATH_COLUMNS,
    open_manifest,
    read_columns,
    read_segments,
    search_folder,
)

LABEL_COLUMNS = ("label", "labels", "class", "category", "target")
MAX_NAMED = 5


def read_labeled_clips(source, class_names=None, audio_folder=None, missing="error"):
    """Return the audio files that `source` names, with their labels.

    Args:
        source: str or `os.PathLike`. One of

            - a folder with a subfolder a class, whose name is the label; of a subfolder without
              audio files a warning is given;
            - a `.csv` file with a header: a column `path`, `file`, `filename` or `wav`, and one
              named `label`, `labels`, `class`, `category` or `target`; several labels of a file
              are separated by `;` or `,`;
            - a `.json` file as AST has them, `{"data": [{"wav": ..., "labels": "a,b"}, ...]}`;
            - a segments file of AudioSet, a `.csv` whose first lines start with `#`.

            Relative paths start at the manifest's folder.
        class_names: list of labels, which fixes the classes and their order, or a dict from
            labels to names, such as `read_class_index` returns. Defaults to `None`: the labels
            that occur, sorted.
        audio_folder: str. Where relative paths start instead, and the folder of the files of
            AudioSet's segments, named by their YouTube id, `Y` in front and start in seconds
            behind (`_30` or `_30.000`) being optional. Defaults to `None`.
        missing: str. `"error"`, or `"skip"` to leave out files that do not exist, with a warning
            that counts and names them. Defaults to `"error"`.

    Returns:
        A `LabeledClips`.

    Raises:
        ValueError: if the source cannot be read, or files of it are missing or named twice, or
            labels are unknown: all of them at once, counted.
        OSError: if a folder, or one in it, cannot be searched.

    Example:

    ```python
    clips = keras_asit.data.read_labeled_clips("recordings")  # recordings/dog/1.wav, ...
    ```

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, for JSON;
    Gemmeke et al., "Audio Set", ICASSP 2017, for segments.
    """
    check_choice("missing", missing, ("error", "skip"))
    source = os.path.abspath(os.path.expanduser(os.fspath(source)))
    if not os.path.exists(source):
        raise ValueError(f"`source` does not exist; check the path. Received: source={source!r}")
    rows = _read_rows(source, audio_folder)
    if class_names is None:
        class_names = sorted({label for _, labels in rows for label in labels})
    names = class_names if isinstance(class_names, dict) else dict(zip(class_names, class_names))
    present = [(path, labels) for path, labels in rows if os.path.isfile(path)]
    absent = [path for path, _ in rows if not os.path.isfile(path)]
    _check(source, rows, [] if missing == "skip" else absent, names)
    if not present:
        raise ValueError(f"{source} names no audio file that exists.")
    if absent:
        warnings.warn(
            f"{source}: left out {len(absent)} of {len(rows)} files, which do not exist: "
            f"{_list(absent)}",
            stacklevel=2,
        )
    indices = {label: index for index, label in enumerate(names)}
    labels = [tuple(sorted({indices[label] for label in labels})) for _, labels in present]
    return LabeledClips([path for path, _ in present], labels, list(names.values()))


def _check(source, rows, absent, names):
    """Raise one error of everything that is wrong."""
    counts = collections.Counter(path for path, _ in rows)
    problems = {
        "files do not exist": absent,
        "files are named more than once": [path for path, count in counts.items() if count > 1],
        "labels are unknown": sorted(
            {label for _, labels in rows for label in labels} - set(names)
        ),
        "files have no label": [path for path, labels in rows if "" in labels],
    }
    found = [f"{len(wrong)} {what}: {_list(wrong)}" for what, wrong in problems.items() if wrong]
    if found:
        raise ValueError(f"{source}: {'; '.join(found)}")


def _list(items):
    named = ", ".join(repr(item) for item in items[:MAX_NAMED])
    return f"{named}, ..." if len(items) > MAX_NAMED else named


def _read_rows(source, audio_folder):
    """Return a list of (absolute path, list of labels)."""
    if os.path.isdir(source):
        return _read_class_folders(source)
    suffix = os.path.splitext(source)[1].lower()
    if suffix not in (".csv", ".json"):
        raise ValueError(
            "Labels are read from a folder of class folders, a .csv or a .json file. "
            f"Received: source={source!r}"
        )
    with open_manifest(source) as file:
        if suffix == ".json":
            rows = _read_json(file, source)
        elif file.read(1) == "#":
            return _read_segments(file, source, audio_folder)
        else:
            file.seek(0)
            columns = read_columns(file, source, PATH_COLUMNS, LABEL_COLUMNS)
            rows = [(path, _split(labels)) for path, labels in columns]
    folder = os.path.abspath(audio_folder or os.path.dirname(source))
    return [(os.path.join(folder, os.path.expanduser(path)), labels) for path, labels in rows]


def _read_class_folders(folder):
    classes = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    paths = {name: search_folder(os.path.join(folder, name)) for name in classes}
    rows = [(path, [name]) for name in classes for path in paths[name]]
    accepted = f"accepted are {', '.join(AUDIO_SUFFIXES)}"
    if not rows:
        raise ValueError(
            f"Folder {folder!r} must have a subfolder a class, with audio files in it; {accepted}."
        )
    empty = [name for name in classes if not paths[name]]
    if empty:
        warnings.warn(
            f"{folder}: {len(empty)} of {len(classes)} subfolders hold no audio file, so that no "
            f"clip is of their class: {_list(empty)}; {accepted}.",
            stacklevel=4,
        )
    return rows


def _read_json(file, source):
    content = json.load(file)
    try:
        rows = [(clip["wav"], clip["labels"]) for clip in content["data"]]
    except (TypeError, KeyError):
        rows = None
    if rows is None or not all(isinstance(value, str) for row in rows for value in row):
        raise ValueError(
            f'Manifest {source!r} must have the form {{"data": [{{"wav": path, "labels": "a,b"}}, '
            "...]}."
        )
    return [(path, _split(labels)) for path, labels in rows]


def _read_segments(file, source, audio_folder):
    if audio_folder is None:
        raise ValueError(
            f"{source} is a segments file of AudioSet; name the folder of its audio files in "
            "`audio_folder`."
        )
    return [(path, _split(labels)) for path, labels in read_segments(file, audio_folder)]


def _split(labels):
    return [label.strip() for label in labels.replace(";", ",").split(",")]
