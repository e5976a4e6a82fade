"""Which audio files a folder, a list or a manifest names."""

import collections
import contextlib
import csv
import json
import os

from keras_asit._arguments import name_some

AUDIO_SUFFIXES = (
    ".wav",
    ".w64",
    ".rf64",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".aifc",
    ".caf",
    ".au",
    ".snd",
)
PATH_COLUMNS = ("path", "file", "filename", "wav")


def read_manifest(source):
    """Return the absolute paths of the audio files that `source` names.

    Args:
        source: str, `os.PathLike`, or list of them. One of

            - a folder: every audio file in it and in its subfolders, in sorted order. Audio
              files are known by their suffix (wav, w64, rf64, flac, ogg, oga, opus, mp3, aif,
              aiff, aifc, caf, au or snd, in any case); hidden files are left out. Symbolic links
              to folders are followed, but no folder is searched twice;
            - a list of paths of audio files;
            - a manifest: a `.txt` file with one path a line; a `.csv` file with a header, its
              path column being the first of `path`, `file`, `filename` and `wav` that it has;
              a `.json` file as AST has them, `{"data": [{"wav": ...}, ...]}`; or a segments
              file of AudioSet, a `.csv` whose first lines start with `#`, whose audio files lie
              in its folder or below and are named as `read_labeled_clips` describes. Relative
              paths start at the manifest's folder.

    Returns:
        A list of strs, in the order of the source.

    Raises:
        ValueError: If the source does not exist, names no audio file, or cannot be read as a
            manifest, or if files that it names do not exist or are named more than once (all
            of them are counted at once).
        OSError: If a folder, or one in it, cannot be searched.

    Example:

    ```python
    paths = keras_asit.data.read_manifest("audioset/train.csv")
    ```

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, for JSON.
    """
    if isinstance(source, (list, tuple)):
        origin = "The list of paths"
        return check_files(_existing(source, os.getcwd(), origin), origin)
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            "`source` must be a folder, a list of paths, or a .txt, .csv or .json manifest. "
            f"Received: source={source!r}"
        )
    if not os.fspath(source):
        raise ValueError("`source` must name a folder or a manifest. Received an empty string.")
    source = os.path.abspath(os.path.expanduser(source))
    if not os.path.exists(source):
        raise ValueError(
            f"`source` does not exist; check the path. Received: source={str(source)!r}"
        )
    if os.path.isdir(source):
        paths = search_folder(source)
        if not paths:
            raise ValueError(
                f"Folder {source!r} holds no audio file; accepted are {', '.join(AUDIO_SUFFIXES)}."
            )
        return paths
    origin = f"Manifest {source!r}"
    paths = _existing(_read_file(source), os.path.dirname(source), origin)
    return check_files(paths, origin, repeats=False)


def search_folder(folder):
    """Return the audio files in a folder and its subfolders, sorted, hidden ones left out."""
    paths = sorted(
        os.path.join(parent, name)
        for parent, names in _walk(folder)
        for name in names
        if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")
    )
    return [path for path in paths if os.path.isfile(path)]


def _walk(folder):
    """Yield (path, names of files) of a folder and all in it, each once however links lead.

    Links are followed last: a folder that is there itself keeps its own path.
    """
    searched, waiting = set(), [folder]
    while waiting:
        for parent, subfolders, names in os.walk(waiting.pop(0), onerror=_refuse_folder):
            real = os.path.realpath(parent)
            if real in searched:
                subfolders.clear()
                continue
            searched.add(real)
            yield parent, names
            subfolders.sort()
            paths = [os.path.join(parent, name) for name in subfolders]
            waiting += [path for path in paths if os.path.islink(path)]


def _refuse_folder(error):
    # `os.walk` would go on without it, and its files would be missed by nobody.
    raise OSError(
        f"Folder {error.filename!r} cannot be searched; make it readable or move it away: "
        f"{error.strerror}"
    ) from None


def _read_file(path):
    suffix = os.path.splitext(path)[1].lower()
    readers = {".txt": _read_lines, ".csv": _read_csv, ".json": _read_json}
    if suffix not in readers:
        raise ValueError(
            f"A manifest must be a .txt, .csv or .json file; give audio files as a list of "
            f"paths. Received: source={path!r}"
        )
    with open_manifest(path) as file:
        return readers[suffix](file, path)


@contextlib.contextmanager
def open_manifest(path):
    """Open a manifest; of what cannot be read in it as text, CSV or JSON, say which file it is."""
    # Spreadsheets put a byte order mark in front, which utf-8-sig drops.
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise ValueError(f"Manifest {path!r} is not UTF-8 text; save it so: {error}") from None
        except csv.Error as error:
            raise ValueError(f"Manifest {path!r} is not valid CSV: {error}") from None
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"Manifest {path!r} is not valid JSON: {error}") from None


def _read_lines(file, path):
    return [line.strip() for line in file if line.strip()]


def read_segments(file, folder):
    """Return (path, labels) of each line of AudioSet's segments, files being those of a folder.

    The path of a segment that has no file is what its file would be called.
    """
    files = {os.path.splitext(os.path.basename(path))[0]: path for path in search_folder(folder)}
    rows = []
    file.seek(0)
    lines = (line for line in file if not line.startswith("#"))
    for row in filter(None, csv.reader(lines, skipinitialspace=True)):
        try:
            identifier, start, _, labels = row
            seconds = f"{float(start):g}"
        except ValueError:
            raise ValueError(
                "A line of AudioSet's segments must have the form 'identifier, start, end, "
                f'"labels"\', times being seconds. Received: {", ".join(row)!r} in {file.name}'
            ) from None
        stems = [identifier, f"{identifier}_{seconds}", f"{identifier}_{start}"]
        stems += [f"Y{stem}" for stem in stems]
        found = next((files[stem] for stem in stems if stem in files), None)
        path = found or os.path.join(os.path.abspath(folder), f"{identifier}.wav")
        rows.append((path, labels))
    return rows


def _read_csv(file, path):
    if file.read(1) == "#":
        return [name for name, _ in read_segments(file, os.path.dirname(path))]
    file.seek(0)
    return [name for (name,) in read_columns(file, path, PATH_COLUMNS)]


def read_columns(file, path, *columns):
    """Return a list of cells for each line of a CSV manifest.

    Each of `columns` is a tuple of names, of which the first that the manifest has is read. The
    first cell is the path, which must not be empty.
    """
    rows = csv.DictReader(file, skipinitialspace=True)
    rows.fieldnames = header = [name.strip() for name in rows.fieldnames or []]
    chosen = [next((name for name in names if name in header), None) for names in columns]
    if None in chosen:
        accepted = " and a column named one of ".join(", ".join(names) for names in columns)
        raise ValueError(
            f"Manifest {path!r} must have a header with a column named one of {accepted}. Its "
            f"columns: {', '.join(header) or 'none'}"
        )
    lines = []
    for row in rows:
        lines.append([(row[name] or "").strip() for name in chosen])
        if not lines[-1][0]:
            raise ValueError(
                f"Line {rows.line_num} of manifest {path!r} is empty in column {chosen[0]!r}; "
                "fill it in or delete the line."
            )
    return lines


def _read_json(file, path):
    content = json.load(file)
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
    """Return `paths` made absolute from `folder`."""
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(f"{origin} must hold strs or os.PathLike. Received: {path!r}")
    if not paths:
        raise ValueError(f"{origin} is empty; name at least one audio file.")
    return [os.path.abspath(os.path.join(folder, os.path.expanduser(path))) for path in paths]


def check_folder(folder):
    """Raise `ValueError` unless a data set's folder exists."""
    if not os.path.isdir(folder):
        raise ValueError(
            f"`folder` must be a folder that exists; check the path. Received: folder={folder!r}"
        )


def check_files(paths, origin, repeats=True):
    """Return `paths`, or raise one `ValueError` that counts and names those that are no files.

    Without `repeats`, also those that are named more than once.
    """
    problems = {"files that do not exist": [path for path in paths if not os.path.isfile(path)]}
    if not repeats:
        counts = collections.Counter(paths)
        twice = [path for path, count in counts.items() if count > 1]
        problems["files more than once"] = twice
    found = [
        f"{len(wrong)} of {len(paths)} {what}: {name_some(map(repr, wrong))}"
        for what, wrong in problems.items()
        if wrong
    ]
    if found:
        raise ValueError(f"{origin} names {'; '.join(found)}")
    return paths
