"""Which audio files a folder, a list or a manifest names."""

import csv
import json
import os

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
PATH_COLUMNS = ("path", "file", "filename", "wav")
MAX_NAMED = 5


def read_manifest(source):
    """Return the absolute paths of the audio files that `source` names.

    Args:
        source: str, `os.PathLike`, or list of them. One of

            - a folder: every audio file in it and in its subfolders, in sorted order. Audio
              files are known by their suffix (wav, flac, ogg, oga, opus, mp3, aif, aiff or au,
              in any case); hidden files are left out;
            - a list of paths of audio files;
            - a manifest: a `.txt` file with one path a line; a `.csv` file with a header, its
              path column being the first of `path`, `file`, `filename` and `wav` that it has;
              or a `.json` file as AST has them, `{"data": [{"wav": ...}, ...]}`. Relative paths
              start at the manifest's folder.

    Returns:
        A list of strs, in the order of the source.

    Raises:
        ValueError: If the source does not exist, names no audio file, or cannot be read as a
            manifest, or if files that it names do not exist (all of them are counted at once).

    Example:

    ```python
    paths = keras_asit.data.read_manifest("audioset/train.csv")
    ```

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, for JSON.
    """
    if isinstance(source, (list, tuple)):
        return _existing(source, os.getcwd(), "The list of paths")
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            "`source` must be a folder, a list of paths, or a .txt, .csv or .json manifest. "
            f"Received: source={source!r}"
        )
    source = os.path.abspath(os.path.expanduser(source))
    if not os.path.exists(source):
        raise ValueError(
            f"`source` does not exist; check the path. Received: source={str(source)!r}"
        )
    if os.path.isdir(source):
        return _search_folder(source)
    return _existing(_read_file(source), os.path.dirname(source), f"Manifest {source!r}")


def _search_folder(folder):
    paths = [
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")
    ]
    if not paths:
        raise ValueError(
            f"Folder {folder!r} holds no audio file; accepted are {', '.join(AUDIO_SUFFIXES)}."
        )
    return sorted(paths)


def _read_file(path):
    suffix = os.path.splitext(path)[1].lower()
    readers = {".txt": _read_lines, ".csv": _read_csv, ".json": _read_json}
    if suffix not in readers:
        raise ValueError(
            f"A manifest must be a .txt, .csv or .json file; give audio files as a list of "
            f"paths. Received: source={path!r}"
        )
    # Spreadsheets put a byte order mark in front, which utf-8-sig drops.
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            return readers[suffix](file, path)
        except UnicodeDecodeError as error:
            raise ValueError(f"Manifest {path!r} is not UTF-8 text; save it so: {error}") from None


def _read_lines(file, path):
    return [line.strip() for line in file if line.strip()]


def _read_csv(file, path):
    rows = csv.DictReader(file, skipinitialspace=True)
    names = rows.fieldnames or []
    column = next((name for name in PATH_COLUMNS if name in names), None)
    if column is None:
        raise ValueError(
            f"Manifest {path!r} must have a header with a column named one of "
            f"{', '.join(PATH_COLUMNS)}. Its columns: {', '.join(names) or 'none'}"
        )
    paths = []
    for row in rows:
        if not row[column]:
            raise ValueError(
                f"Line {rows.line_num} of manifest {path!r} is empty in column {column!r}; "
                "fill it in or delete the line."
            )
        paths.append(row[column])
    return paths


def _read_json(file, path):
    try:
        content = json.load(file)
    except json.JSONDecodeError as error:
        raise ValueError(f"Manifest {path!r} is not valid JSON: {error}") from None
    try:
        paths = [clip["wav"] for clip in content["data"]]
    except (TypeError, KeyError):
        paths = None
    if paths is None or not all(isinstance(wav, str) for wav in paths):
        raise ValueError(
            f'Manifest {path!r} must have the form {{"data": [{{"wav": path}}, ...]}}.'
        )
    return paths


def _existing(paths, folder, origin):
    """Return `paths` made absolute from `folder`, or raise if any is not a file."""
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(f"{origin} must hold strs or os.PathLike. Received: {path!r}")
    if not paths:
        raise ValueError(f"{origin} is empty; name at least one audio file.")
    paths = [os.path.abspath(os.path.join(folder, os.path.expanduser(path))) for path in paths]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        named = ", ".join(repr(path) for path in missing[:MAX_NAMED])
        more = ", ..." if len(missing) > MAX_NAMED else ""
        raise ValueError(
            f"{origin} names {len(missing)} of {len(paths)} files that do not exist: {named}{more}"
        )
    return paths
