"""Data sets as they are distributed, with their own splits."""

import csv
import os

from keras_asit._arguments import check_choice
from keras_asit.data.labels import LabeledClips
from keras_asit.data.sources import check_files, check_folder, search_folder

COLUMNS = ("filename", "fold", "target", "category")


def read_esc50(folder, fold):
    """Return training and test clips of one fold of ESC-50.

    Args:
        folder: str. The data set's folder, with `meta/esc50.csv` and `audio`.
        fold: int from 1 to 5. The fold that is tested; the other four are for training.

    Returns:
        A dict of `LabeledClips`, `"train"` and `"test"`.

    Raises:
        ValueError: if the folder does not exist or has another layout, or files are missing.

    Example:

    ```python
    splits = keras_asit.data.read_esc50("ESC-50-master", fold=1)
    ```

    Reference: Piczak, "ESC: Dataset for Environmental Sound Classification", ACM MM 2015.
    """
    check_choice("fold", fold, range(1, 6))
    check_folder(folder)
    table = os.path.join(folder, "meta", "esc50.csv")
    if not os.path.isfile(table):
        raise ValueError(f"{folder} must be the folder of ESC-50; it has no meta/esc50.csv.")
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(COLUMNS) <= rows[0].keys():
        raise ValueError(f"{table} must have a line a clip, in columns {', '.join(COLUMNS)}.")
    names = dict(sorted((int(row["target"]), row["category"]) for row in rows))
    indices = {target: index for index, target in enumerate(names)}
    splits = {"train": ([], []), "test": ([], [])}
    for row in rows:
        paths, labels = splits["test" if int(row["fold"]) == fold else "train"]
        paths.append(os.path.abspath(os.path.join(folder, "audio", row["filename"])))
        labels.append((indices[int(row["target"])],))
    return {
        name: LabeledClips(check_files(paths, table), labels, list(names.values()))
        for name, (paths, labels) in splits.items()
    }


BACKGROUND = "_background_noise_"


def read_speech_commands(folder):
    """Return training, validation and test clips of Speech Commands, version 1 or 2.

    The clips that `validation_list.txt` and `testing_list.txt` name are for validation and
    test, all others for training. Classes are the folders (30 in version 1, 35 in version 2);
    background noise is left out.

    Args:
        folder: str. The data set's folder.

    Returns:
        A dict of `LabeledClips`, `"train"`, `"validation"` and `"test"`.

    Raises:
        ValueError: if the folder does not exist or has another layout, or a list names files
            that are missing.

    Example:

    ```python
    splits = keras_asit.data.read_speech_commands("speech_commands_v0.02")
    ```

    Reference: Warden, "Speech Commands", arXiv 1804.03209, section 7.
    """
    check_folder(folder)
    names = sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir() and entry.name != BACKGROUND and not entry.name.startswith(".")
    )
    lists = {
        "validation": _read_list(folder, "validation_list.txt"),
        "test": _read_list(folder, "testing_list.txt"),
    }
    listed = set().union(*lists.values())
    everything = {path for name in names for path in search_folder(os.path.join(folder, name))}
    everything = {os.path.abspath(path) for path in everything}
    lists["train"] = sorted(everything - listed)
    return {
        split: LabeledClips(
            check_files(lists[split], folder),
            [(names.index(os.path.basename(os.path.dirname(path))),) for path in lists[split]],
            names,
        )
        for split in ("train", "validation", "test")
    }


def _read_list(folder, name):
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise ValueError(f"{folder} must be the folder of Speech Commands; it has no {name}.")
    with open(path, encoding="utf-8") as file:
        return [
            os.path.abspath(os.path.join(folder, line.strip())) for line in file if line.strip()
        ]


TEST_RECORDINGS = range(5, 15)


def read_spoken_digits(folder, task="digit"):
    """Return training and test clips of the Free Spoken Digit Dataset.

    Files are named digit_speaker_number.wav. Numbers 5 to 14 of each digit and speaker are for
    test, all others for training.

    Args:
        folder: str. The folder of the files, `recordings` in the data set.
        task: str. What is classified: `"digit"` or `"speaker"`. Defaults to `"digit"`.

    Returns:
        A dict of `LabeledClips`, `"train"` and `"test"`.

    Raises:
        ValueError: if the folder does not exist, a file has another name, or there is none for one
            of the two.

    Example:

    ```python
    splits = keras_asit.data.read_spoken_digits("recordings", task="speaker")
    ```

    Reference: Jackson, "Free Spoken Digit Dataset", https://github.com/Jakobovski/
    free-spoken-digit-dataset (CC BY-SA 4.0).
    """
    check_choice("task", task, ("digit", "speaker"))
    check_folder(folder)
    paths = [os.path.abspath(path) for path in search_folder(folder)]
    rows = [_parse(path) for path in paths]
    labels = [digit if task == "digit" else speaker for digit, speaker, _ in rows]
    names = sorted(set(labels))
    labels = [(names.index(label),) for label in labels]
    clips = LabeledClips(paths, labels, names)
    is_test = [number in TEST_RECORDINGS for _, _, number in rows]
    if not any(is_test) or all(is_test):
        raise ValueError(
            f"{folder!r} must hold recordings numbered 5 to 14 for test and others for training. "
            f"Found: {sum(is_test)} and {len(paths) - sum(is_test)}"
        )
    return {
        "train": clips.select([index for index, test in enumerate(is_test) if not test]),
        "test": clips.select([index for index, test in enumerate(is_test) if test]),
    }


def _parse(path):
    parts = os.path.splitext(os.path.basename(path))[0].split("_")
    if len(parts) != 3 or not parts[0].isdecimal() or not parts[2].isdecimal():
        raise ValueError(
            f"Files must be named digit_speaker_number.wav, such as 7_jackson_32.wav. "
            f"Received: {path}"
        )
    return parts[0], parts[1], int(parts[2])


SPLITS = {"1": "train", "2": "validation", "3": "test"}


def read_voxceleb1(folder, split_file=None):
    """Return training, validation and test clips of VoxCeleb1's identification task.

    Args:
        folder: str. The folder of the speakers' folders (`id10001`, ...), or the one above it
            if that is called `wav`.
        split_file: str. The data set's `iden_split.txt`. Defaults to `None`: the one in
            `folder`.

    Returns:
        A dict of `LabeledClips`, `"train"`, `"validation"` and `"test"`; classes are speakers.

    Raises:
        ValueError: if the folder does not exist, or the split file is missing, of another form
            or names missing files.

    Example:

    ```python
    splits = keras_asit.data.read_voxceleb1("voxceleb1")
    ```

    Reference: Nagrani et al., "VoxCeleb", arXiv 1706.08612, section 5.1.
    """
    check_folder(folder)
    split_file = split_file or os.path.join(folder, "iden_split.txt")
    if not os.path.isfile(split_file):
        raise ValueError(f"`split_file` must be VoxCeleb1's iden_split.txt. Received: {split_file}")
    wav = os.path.join(folder, "wav")
    folder = os.path.abspath(wav if os.path.isdir(wav) else folder)
    with open(split_file, encoding="utf-8") as file:
        rows = [line.split() for line in file if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or row[0] not in SPLITS or "/" not in row[1]:
            raise ValueError(
                f"Line {number} of {split_file} must be 1, 2 or 3 and a path, such as '1 "
                f"id10001/1zcIwhmdeo4/00001.wav'. Received: {' '.join(row)!r}"
            )
    names = sorted({path.split("/")[0] for _, path in rows})
    indices = {name: index for index, name in enumerate(names)}
    splits = {name: ([], []) for name in SPLITS.values()}
    for split, path in rows:
        paths, labels = splits[SPLITS[split]]
        paths.append(os.path.join(folder, path))
        labels.append((indices[path.split("/")[0]],))
    return {
        name: LabeledClips(check_files(paths, split_file), labels, names)
        for name, (paths, labels) in splits.items()
    }
