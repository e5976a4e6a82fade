"""Which audio files, with which labels, a folder, a list or a manifest names."""

import collections
import csv
import os
import re
import warnings
from collections.abc import Sequence

from keras_asit._arguments import name_some
from keras_asit.data.decoding import AUDIO_SUFFIXES, FFMPEG_SUFFIXES, decodable_suffixes
from keras_asit.data.manifests import (
    open_manifest,
    read_columns,
    read_json,
    read_lines,
    uncommented,
)

PATH_COLUMNS = (
    *("path", "filepath", "file_path", "file", "filename", "file_name", "fname"),
    *("wav", "wav_path", "audio", "audio_path"),
)
LABEL_COLUMNS = ("label", "labels", "class", "category", "target")
# Tables, whose cells commas, semicolons or tabs separate.
TABLES = (".csv", ".tsv")
MANIFESTS = (".txt", *TABLES, ".json")


def read_manifest(source: str | os.PathLike | Sequence) -> list[str]:
    """Return the absolute paths of the audio files that `source` names.

    Args:
        source: str, `os.PathLike`, or list of them. One of

            - a folder: every audio file in it and in its subfolders, in sorted order, known by
              its suffix (wav, wave, w64, rf64, flac, ogg, oga, opus, mp2, mp3, aif, aiff, aifc,
              caf, au, snd, sph, avr or voc, in any case; where ffmpeg is installed also m4a, mp4,
              aac, webm, mkv, wma and the like, which are left out with a warning otherwise).
              Hidden files are left out. Links to folders are followed, but no folder is
              searched twice;
            - a list of paths of audio files;
            - a manifest: a `.txt` file with one path a line; a `.csv` or `.tsv` file with a
              header and cells that commas, semicolons or tabs separate, its path column being
              the first of `path`, `filepath`, `file_path`, `file`, `filename`, `file_name`,
              `fname`, `wav`, `wav_path`, `audio` and `audio_path` that it has, in any case; a
              `.json` file as AST has them, `{"data": [{"wav": ...}, ...]}`; or a segments file
              of AudioSet, whose audio files lie in its folder or below, named as for
              `read_labeled_clips`. Relative paths start at the manifest's folder, and
              backslashes may stand between folders. Lines that start with `#` are comments,
              unless there is such a file.

    Returns:
        A list of strs, in the order of the source.

    Raises:
        ValueError: If the source does not exist, names no audio file, or cannot be read as a
            manifest, or if files of it are missing or named twice: all of them at once, counted.
        OSError: If a folder, or one in it, cannot be searched.

    Example:
    ```python
    paths = keras_asit.data.read_manifest("audioset/train.csv")
    ```

    Reference: Gong et al., "AST: Audio Spectrogram Transformer", arXiv 2104.01778, for JSON.
    """
    if isinstance(source, (list, tuple)):
        wrong = [path for path in source if not isinstance(path, (str, os.PathLike))]
        if wrong or not source:
            raise ValueError(
                "A list of paths must hold at least one str or os.PathLike, and nothing else. "
                f"Received: {name_some(map(repr, wrong)) or source}"
            )
        paths = [absolute_path(path, os.getcwd()) for path in source]
        return check_files(paths, "The list of paths")
    paths = [path for path, _ in read_rows(source)]
    if os.path.isdir(os.path.expanduser(source)):
        return paths
    return check_files(paths, f"Manifest {os.fspath(source)!r}", repeats=False)


def read_rows(source, *, labeled=False, audio_folder=None):
    """Return (absolute path, labels) of each file that a folder or a manifest names.

    Labels are a list, or a str where the manifest has them in one text; unless `labeled`, they
    mean nothing. Relative paths start at `audio_folder`, by default the manifest's folder.
    """
    if not isinstance(source, (str, os.PathLike)) or not os.fspath(source):
        raise ValueError(
            "`source` must be a folder, a list of paths, or a .txt, .csv, .tsv or .json manifest. "
            f"Received: source={source!r}"
        )
    source = os.path.abspath(os.path.expanduser(source))
    if not os.path.exists(source):
        raise ValueError(f"`source` does not exist; check the path. Received: source={source!r}")
    if os.path.isdir(source):
        return _read_folder(source, labeled)
    suffix = os.path.splitext(source)[1].lower()
    accepted = MANIFESTS[1:] if labeled else MANIFESTS
    if suffix not in accepted:
        other = "labels may be class folders, too" if labeled else "give audio files as a list"
        raise ValueError(
            f"A manifest must be one of {', '.join(accepted)}; {other}. Received: source={source!r}"
        )
    folder = os.path.abspath(os.path.expanduser(audio_folder or os.path.dirname(source)))
    columns = [PATH_COLUMNS, LABEL_COLUMNS] if labeled else [PATH_COLUMNS]
    with open_manifest(source) as file:
        if suffix == ".json":
            rows = read_json(file, labeled)
        elif suffix == ".txt":
            rows = [(line, "") for line in read_lines(uncommented(file, folder))]
        elif _holds_segments(file):
            if labeled and audio_folder is None:
                raise ValueError(
                    f"{source} is a segments file of AudioSet; name the folder of its audio files "
                    "in `audio_folder`."
                )
            rows = _read_segments(file, folder)
        else:
            rows = [(cells[0], cells[-1]) for cells in read_columns(file, *columns, folder=folder)]
    if not rows:
        raise ValueError(f"Manifest {source!r} is empty; name at least one audio file.")
    return [(absolute_path(path, folder), labels) for path, labels in rows]


def absolute_path(path, folder):
    absolute = os.path.abspath(os.path.join(folder, os.path.expanduser(path)))
    if "\\" in os.fspath(path) and not os.path.exists(absolute):
        # Written on Windows.
        return absolute_path(os.fspath(path).replace("\\", "/"), folder)
    return absolute


def _read_folder(folder, labeled):
    rows = [(path, []) for path in search_folder(folder)]
    classes, needs = [], "hold an audio file"
    if labeled:
        classes, needs = subfolders(folder), "have a subfolder a class, with audio files in it"
        named = [(path, os.path.relpath(path, folder).split(os.sep)) for path, _ in rows]
        beside = [parts[0] for _, parts in named if not parts[:-1]]
        rows = [(path, parts[:1]) for path, parts in named if parts[:-1] and parts[0] in classes]
        needs += f", such as dog/1.wav ({len(beside)} lie in no subfolder)"
    accepted = f"accepted are {', '.join(decodable_suffixes())}"
    if not rows:
        raise ValueError(f"Folder {folder!r} must {needs}; {accepted}.")
    if labeled and beside:
        warnings.warn(
            f"{folder}: left out {len(beside)} audio files that lie beside the folders of the "
            f"classes: {name_some(map(repr, beside))}",
            stacklevel=4,
        )
    if empty := sorted(set(classes) - {label for _, labels in rows for label in labels}):
        warnings.warn(
            f"{folder}: {len(empty)} of {len(classes)} subfolders hold no audio file, so that no "
            f"clip is of their class: {name_some(map(repr, empty))}; {accepted}.",
            stacklevel=4,
        )
    return rows


def subfolders(folder):
    """Return the names of the subfolders of a folder, sorted, hidden ones left out."""
    entries = os.scandir(folder)
    return sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")


def search_folder(folder):
    """Return the audio files in a folder and its subfolders, sorted, hidden ones left out.

    One warning counts those that need ffmpeg where there is none, another one what is no file:
    links that lead nowhere, maybe to folders of audio files, and pipes.
    """
    found = sorted(
        os.path.join(parent, name)
        for parent, names in _walk(folder)
        for name in names
        if not name.startswith(".")
    )
    suffixes = AUDIO_SUFFIXES + FFMPEG_SUFFIXES
    paths, dangling = [], []
    for path in found:
        is_audio = path.lower().endswith(suffixes)
        if os.path.isfile(path):
            paths += [path] * is_audio
        elif is_audio or not os.path.exists(path):
            dangling.append(path)
    if dangling:
        warnings.warn(
            f"{folder}: left out {len(dangling)} links that lead nowhere, or pipes; mend or remove "
            f"them: {name_some(map(repr, dangling))}",
            stacklevel=5,
        )
    decodable = decodable_suffixes()
    left_out = [path for path in paths if not path.lower().endswith(decodable)]
    if left_out:
        counts = collections.Counter(os.path.splitext(path)[1].lower() for path in left_out)
        counted = ", ".join(f"{number} {suffix}" for suffix, number in sorted(counts.items()))
        warnings.warn(
            f"{folder}: left out {counted} files, which ffmpeg decodes; install it (apt install "
            "ffmpeg, conda install ffmpeg).",
            stacklevel=5,
        )
    return [path for path in paths if path.lower().endswith(decodable)]


def _walk(folder):
    """Yield (path, names of files) of a folder and all in it, each once however links lead.

    Links are followed last: a folder that is there itself keeps its own path.
    """
    searched, tops = set(), [folder]
    for top in tops:
        for parent, folders, names in os.walk(top, onerror=_refuse_folder):
            real = os.path.realpath(parent)
            if real in searched:
                folders.clear()
                continue
            searched.add(real)
            yield parent, names
            paths = [os.path.join(parent, name) for name in sorted(folders)]
            tops += filter(os.path.islink, paths)


def _refuse_folder(error):
    # `os.walk` would go on without it, and its files would be missed by nobody.
    raise OSError(
        f"Folder {error.filename!r} cannot be searched; make it readable or move it away: "
        f"{error.strerror}"
    ) from None


def _holds_segments(file):
    """Return whether a table is one of AudioSet's segments: comments, and no header below them."""
    if file.read(1) != "#":
        file.seek(0)
        return False
    file.seek(0)
    header = next((line for line in file if not line.startswith("#")), "").lower()
    file.seek(0)
    return not set(re.findall(r"\w+", header)) & set(PATH_COLUMNS)


def _read_segments(file, folder):
    """Return (path, labels) of each line of AudioSet's segments, files being those of a folder."""
    find = segment_finder(folder)
    rows = []
    lines = (line for line in file if not line.startswith("#"))
    for row in filter(None, csv.reader(lines, skipinitialspace=True)):
        try:
            identifier, start, _, labels = row
            found = find(identifier, f"{float(start):g}", start)
        except ValueError:
            raise ValueError(
                "A line of AudioSet's segments must have the form 'identifier, start, end, "
                f'"labels"\', times being seconds. Received: {", ".join(row)!r} in {file.name}'
            ) from None
        rows.append((found, labels))
    return rows


def segment_finder(folder):
    """Return a function from a YouTube id, and texts of a start, to AudioSet's file in a folder.

    The path of a segment that has no file is what its file would be called.
    """
    files = {os.path.splitext(os.path.basename(path))[0]: path for path in search_folder(folder)}

    def find(identifier, *starts):
        stems = [identifier, *(f"{identifier}_{start}" for start in starts)]
        stems += [f"Y{stem}" for stem in stems]
        return next((files[stem] for stem in stems if stem in files), f"{identifier}.wav")

    return find


def check_files(paths, origin, *, repeats=True, problems=None):
    """Return `paths`, or raise one `ValueError` that counts and names all that is wrong.

    `origin` names the paths, which must be files and, without `repeats`, each there once.
    `problems` is a dict from what else is wrong to the list of what is.
    """
    of = f"of {len(paths)} files"
    counts = collections.Counter(paths)
    problems = {
        f"{of} that do not exist": [path for path in paths if not os.path.isfile(path)],
        f"{of} more than once": [path for path in counts if counts[path] > 1 and not repeats],
        **(problems or {}),
    }
    found = [
        f"{len(wrong)} {what}: {name_some(map(repr, wrong))}"
        for what, wrong in problems.items()
        if wrong
    ]
    if found:
        raise ValueError(f"{origin} names {'; '.join(found)}")
    return paths
