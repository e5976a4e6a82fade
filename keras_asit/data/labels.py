"""Audio files with labels."""

import csv
import dataclasses
import numbers
import os
import re
import warnings
from collections.abc import Sequence

import numpy as np

from keras_asit._arguments import check_choice, check_instance, name_some
from keras_asit.data.manifests import open_manifest, read_columns
from keras_asit.data.sources import check_files, read_rows

# What `check_files` says of them.
UNKNOWN_LABELS = (
    "labels that are unknown (not among the `class_names` that were given, or the classes of the "
    "data for training; name all classes there, or leave such rows out)"
)


@dataclasses.dataclass(frozen=True)
class LabeledClips:
    """Paths of audio files, the classes of each, and the names of all classes.

    Args:
        paths: list of strs.
        labels: list of tuples of ints, for each file the indices of its classes.
        class_names: list of strs.

    Example:
    ```python
    clips = keras_asit.data.LabeledClips(["a.wav", "b.wav"], [(0,), (0, 1)], ["dog", "bark"])
    clips.multi_label  # True
    ```
    """

    paths: list
    labels: list
    class_names: list

    def __post_init__(self):
        if len(self.paths) != len(self.labels):
            raise ValueError(
                f"Every path needs its labels. Received: {len(self.paths)} paths, "
                f"{len(self.labels)} labels"
            )
        if not all(str(name).strip() for name in self.class_names):
            raise ValueError(f"Every class needs a name. Received: {name_some(self.class_names)!r}")
        for path, indices in zip(self.paths, self.labels):
            if not isinstance(indices, (tuple, list, np.ndarray)) or not all(
                isinstance(index, numbers.Integral) and 0 <= index < len(self.class_names)
                for index in indices
            ):
                raise ValueError(
                    "The labels of a file must be a tuple of indices of classes, from 0 to "
                    f"{len(self.class_names) - 1}. Received: {indices!r} for {path}"
                )

    def __len__(self):
        return len(self.paths)

    @property
    def multi_label(self) -> bool:
        """Whether any file has not exactly one label."""
        return any(len(indices) != 1 for indices in self.labels)

    def select(self, indices: Sequence[int]) -> "LabeledClips":
        """Return the clips of the given indices."""
        paths = [self.paths[index] for index in indices]
        return LabeledClips(paths, [self.labels[index] for index in indices], self.class_names)

    def label_matrix(self) -> np.ndarray:
        """Return labels as a float32 array of zeros and ones, `(clips, classes)`."""
        matrix = np.zeros((len(self), len(self.class_names)), "float32")
        for row, indices in zip(matrix, self.labels):
            row[list(indices)] = 1
        return matrix

    def label_indices(self) -> np.ndarray:
        """Return the one label of each file, int32 of shape `(clips,)`, or raise `ValueError`."""
        for path, indices in zip(self.paths, self.labels):
            if len(indices) != 1:
                raise ValueError(f"{path} has {len(indices)} labels; it must have one.")
        return np.asarray([indices[0] for indices in self.labels], "int32")


def read_labeled_clips(
    source: str | os.PathLike,
    *,
    class_names: Sequence[str] | dict | None = None,
    audio_folder: str | os.PathLike | None = None,
    missing: str = "error",
) -> LabeledClips:
    """Return the audio files that `source` names, with their labels.

    Args:
        source: str or `os.PathLike`. One of

            - a folder with a subfolder a class, whose name is the label; warnings name those
              without audio files, and count files that are in none;
            - a `.csv` or `.tsv` file with a header, as for `read_manifest`: a column of paths and
              one named `label`, `labels`, `class`, `category` or `target`;
            - a `.json` file as AST has them, `{"data": [{"wav": ..., "labels": "a,b"}, ...]}`,
              where labels may also be a list, or the index of a class;
            - a segments file of AudioSet, a `.csv` whose first lines start with `#`.

            Relative paths start at the manifest's folder. In one text, labels are separated by
            `;` or `,`. So may a name be inside: with `class_names`, what makes up a name in
            them stays together. Without, a manifest that has `;` anywhere is separated by that
            alone, another by `,` without a blank; what can be read in two ways is an error.
        class_names: list of labels, the classes in their order, or a dict from labels to names,
            as of `read_class_index`. Defaults to `None`: the labels that occur, sorted.
        audio_folder: str. Where relative paths start instead, and the folder of the files of
            AudioSet's segments, named by their YouTube id, `Y` in front and start in seconds
            behind (`_30` or `_30.000`) being optional. Defaults to `None`.
        missing: str. `"error"`, or `"skip"` to leave out files that do not exist, with a warning
            that counts and names them. Defaults to `"error"`.

    Raises:
        ValueError: if the source cannot be read, or files of it are missing or named twice, or
            labels are unknown, empty or unclear: all of them at once, counted.
        OSError: if a folder, or one in it, cannot be searched.

    Example:
    ```python
    clips = keras_asit.data.read_labeled_clips("recordings")  # recordings/dog/1.wav, ...
    ```

    Reference: Gong et al., "AST", arXiv 2104.01778, for JSON; Gemmeke et al., "Audio Set", ICASSP
    2017, for segments.
    """
    check_choice("missing", missing, ("error", "skip"))
    rows = read_rows(source, labeled=True, audio_folder=audio_folder)
    texts = [labels for _, labels in rows]
    readings = list(
        _read_labels(texts) if class_names is None else _join_labels(texts, class_names)
    )
    unclear = [
        f"{path}: {' or '.join(map(str, ways))}"
        for (path, _), ways in zip(rows, readings)
        if len(ways) > 1
    ]
    rows = [(path, ways[0]) for (path, _), ways in zip(rows, readings)]
    if class_names is None:
        class_names = sorted({label for _, labels in rows for label in labels})
    names = class_names if isinstance(class_names, dict) else dict(zip(class_names, class_names))
    absent = {path for path, _ in rows if not os.path.isfile(path)}
    present = [row for row in rows if row[0] not in absent]
    used = present if missing == "skip" else rows
    unknown = {label for _, labels in rows for label in labels} - {"", *names}
    problems = {
        UNKNOWN_LABELS: sorted(unknown),
        "files without a label": [path for path, labels in rows if not labels or "" in labels],
        "files whose labels can be read in two ways (give `class_names`, or separate labels by "
        "`;`)": unclear,
    }
    check_files([path for path, _ in used], source, repeats=False, problems=problems)
    if not present:
        raise ValueError(f"{source} names no audio file that exists.")
    if absent:
        warnings.warn(
            f"{source}: left out {len(absent)} of {len(rows)} files, which do not exist: "
            f"{name_some(map(repr, sorted(absent)))}",
            stacklevel=2,
        )
    indices = {label: index for index, label in enumerate(names)}
    labels = [tuple(sorted({indices[label] for label in labels})) for _, labels in present]
    return LabeledClips([path for path, _ in present], labels, list(names.values()))


def _read_labels(texts):
    """Return the ways to read each text of labels, of which no name is known."""
    by_semicolon = any(";" in text for text in texts if isinstance(text, str))
    for text in texts:
        if not isinstance(text, str):
            yield [text]
            continue
        whole, pieces = text.split(";"), re.split("[,;]", text)
        # A blank behind it is how names have commas; labels are rather joined without.
        inside, between = re.search(r",\s", text), re.search(r",(?!\s)", text)
        ways = [whole] * bool(by_semicolon or inside) + [pieces] * bool(not by_semicolon or between)
        yield [[label.strip() for label in way] for way in ways]


def _join_labels(texts, class_names):
    """Return the ways to read each text of labels as names that are known, or in pieces."""
    known = {_without_blanks(name): name for name in class_names}

    def join(pieces):
        """Return each way to join pieces, and the separators between them, to known names."""
        if not pieces:
            return [[]]
        starts = [("".join(pieces[:stop]), stop + 1) for stop in range(1, len(pieces) + 1, 2)]
        return [
            [known[start], *rest]
            for start, stop in starts
            if start in known
            for rest in join(pieces[stop:])
        ]

    for text in texts:
        if isinstance(text, str):
            pieces = re.split("([,;])", _without_blanks(text))
            yield join(pieces) or [pieces[::2]]
        else:
            yield [text]


def _without_blanks(text):
    return re.sub(r"\s*([,;])\s*", r"\1", text.strip())


def read_class_index(path: str | os.PathLike) -> dict:
    """Return AudioSet's classes in their order, from labels as in manifests to names.

    Args:
        path: str. `class_labels_indices.csv`, with the columns index, mid and display_name, or
            AudioSet Strong's `mid_to_display_name.tsv`, which has the latter two and no header.

    Returns:
        A dict from labels such as `"/m/09x0r"` to names such as `"Speech"`.

    Raises:
        ValueError: if the file has other columns, or its indices do not count from 0.

    Example:
    ```python
    names = keras_asit.data.read_class_index("class_labels_indices.csv")
    clips = keras_asit.data.read_labeled_clips("eval.json", class_names=names)
    ```
    """
    with open_manifest(path) as file:
        has_header = not file.readline().startswith("/")
        file.seek(0)
        if not has_header:
            rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row]
            if any(len(row) != 2 for row in rows):
                raise ValueError(f"{path} must have a class, a tab and its name a line.")
            return dict(rows)
        rows = read_columns(file, ("index",), ("mid",), ("display_name",))
    if [index for index, _, _ in rows] != [str(index) for index in range(len(rows))]:
        raise ValueError(f"The indices of {path} must count from 0, a line each.")
    return {mid: name for _, mid, name in rows}


def balanced_weights(clips: LabeledClips) -> np.ndarray:
    """Return the sum of each clip's classes' inverse frequencies, to draw it in proportion to.

    Args:
        clips: a `LabeledClips`.

    Returns:
        A float64 array of shape `(clips,)`, for the `weights` of `labeled_dataset`.

    Example:
    ```python
    clips = keras_asit.data.LabeledClips(["a", "b", "c"], [(0,), (0,), (1,)], ["dog", "cat"])
    keras_asit.data.balanced_weights(clips)  # 0.5, 0.5, 1.0
    ```

    Reference: Gong et al., "PSLA", arXiv 2102.01243, section III-B.
    """
    check_instance("clips", clips, LabeledClips)
    indices = [index for labels in clips.labels for index in labels]
    counts = np.bincount(np.asarray(indices, "int64"), minlength=len(clips.class_names))
    return np.asarray(
        [sum(1 / counts[index] for index in labels) for labels in clips.labels], float
    )
