"""Data sets as they are distributed, with their own splits."""

import os
import re

from keras_asit._arguments import check_choice
from keras_asit.data.labels import LabeledClips
from keras_asit.data.manifests import open_manifest, read_columns, read_lines
from keras_asit.data.sources import check_files, search_folder, subfolders


def read_esc50(folder: str | os.PathLike, fold: int) -> dict[str, LabeledClips]:
    """Return clips of ESC-50 for `"train"` and `"test"`.

    Args:
        folder: str. The data set's folder, with `meta/esc50.csv` and `audio`.
        fold: int from 1 to 5. The fold that is tested; the other four are for training.

    Raises:
        ValueError: if the folder does not exist or has another layout, or files are missing.

    Example:
    ```python
    splits = keras_asit.data.read_esc50("ESC-50-master", fold=1)
    ```

    Reference: Piczak, "ESC: Dataset for Environmental Sound Classification", ACM MM 2015.
    """
    check_choice("fold", fold, range(1, 6))
    folder = _check_folder(folder)
    table = os.path.join(folder, "meta", "esc50.csv")
    with open_manifest(table) as file:
        clips = read_columns(file, ("filename",), ("fold",), ("target",), ("category",))
    rows = [
        ("test" if int(part) == fold else "train", os.path.join(folder, "audio", name), category)
        for name, part, _, category in clips
    ]
    targets = {category: int(target) for _, _, target, category in clips}
    return _divide(rows, table, ("train", "test"), sorted(targets, key=targets.get))


def read_speech_commands(folder: str | os.PathLike) -> dict[str, LabeledClips]:
    """Return clips of Speech Commands, version 1 or 2, for `"train"`, `"validation"` and `"test"`.

    Its lists name the clips for validation and test; all others are for training. Classes are the
    folders (30 in version 1, 35 in version 2); background noise is left out.

    Args:
        folder: str. The data set's folder, with `validation_list.txt` and `testing_list.txt`.

    Raises:
        ValueError: if the folder does not exist or has another layout, or files are missing.

    Example:
    ```python
    splits = keras_asit.data.read_speech_commands("speech_commands_v0.02")
    ```

    Reference: Warden, "Speech Commands", arXiv 1804.03209, section 7.
    """
    folder = _check_folder(folder)
    words = [name for name in subfolders(folder) if name != "_background_noise_"]
    splits = {}
    for split, name in (("validation", "validation_list.txt"), ("test", "testing_list.txt")):
        with open_manifest(os.path.join(folder, name)) as file:
            paths = [os.path.abspath(os.path.join(folder, line)) for line in read_lines(file)]
        splits |= dict.fromkeys(paths, split)
    found = {path for word in words for path in search_folder(os.path.join(folder, word))}
    splits |= dict.fromkeys(sorted(found - splits.keys()), "train")
    rows = [(split, path, path.split(os.sep)[-2]) for path, split in splits.items()]
    return _divide(rows, folder, ("train", "validation", "test"), words)


def read_spoken_digits(folder: str | os.PathLike, task: str = "digit") -> dict[str, LabeledClips]:
    """Return clips of the Free Spoken Digit Dataset for `"train"` and `"test"` (numbers 5 to 14).

    Args:
        folder: str. The folder of the files, `recordings` in the data set.
        task: str. What is classified: `"digit"` or `"speaker"`. Defaults to `"digit"`.

    Raises:
        ValueError: if the folder does not exist, a file has another name, or a split has none.

    Example:
    ```python
    splits = keras_asit.data.read_spoken_digits("recordings", task="speaker")
    ```

    Reference: Jackson, https://github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0).
    """
    check_choice("task", task, ("digit", "speaker"))
    folder = _check_folder(folder)
    rows = []
    for path in search_folder(folder):
        match = re.fullmatch(r"(\d+)_([^_]*)_(\d+)\.\w+", os.path.basename(path))
        if match is None:
            raise ValueError(
                "Files must be named digit_speaker_number.wav, such as 7_jackson_32.wav. "
                f"Received: {path}"
            )
        digit, speaker, number = match.groups()
        split = "test" if 5 <= int(number) < 15 else "train"
        rows.append((split, path, digit if task == "digit" else speaker))
    splits = _divide(rows, folder, ("train", "test"))
    if not all(map(len, splits.values())):
        raise ValueError(
            f"{folder!r} must hold recordings numbered 5 to 14 for test and others for training. "
            f"Found: {len(splits['test'])} and {len(splits['train'])}"
        )
    return splits


def read_voxceleb1(
    folder: str | os.PathLike, split_file: str | os.PathLike | None = None
) -> dict[str, LabeledClips]:
    """Return clips of VoxCeleb1's identification, for `"train"`, `"validation"` and `"test"`.

    Args:
        folder: str. The folder of the speakers' folders (`id10001`, ...), or the one above it
            if that is called `wav`.
        split_file: str. The data set's `iden_split.txt`. Defaults to `None`: that of `folder`.

    Raises:
        ValueError: if the folder does not exist, the split file has another form, or either it
            or files that it names are missing.

    Example:
    ```python
    splits = keras_asit.data.read_voxceleb1("voxceleb1")
    ```

    Reference: Nagrani et al., "VoxCeleb", arXiv 1706.08612, section 5.1.
    """
    folder = _check_folder(folder)
    split_file = split_file or os.path.join(folder, "iden_split.txt")
    wav = os.path.join(folder, "wav")
    folder = wav if os.path.isdir(wav) else folder
    names = {"1": "train", "2": "validation", "3": "test"}
    rows = []
    with open_manifest(split_file) as file:
        lines = read_lines(file)
    for number, line in enumerate(lines, start=1):
        match = re.fullmatch(r"([123])\s+(([^/\s]+)/\S+)", line)
        if match is None:
            raise ValueError(
                f"Line {number} of {split_file} must be 1, 2 or 3 and a path, such as '1 "
                f"id10001/1zcIwhmdeo4/00001.wav'. Received: {line!r}"
            )
        part, path, speaker = match.groups()
        rows.append((names[part], os.path.join(folder, path), speaker))
    return _divide(rows, split_file, tuple(names.values()))


def _check_folder(folder):
    if not os.path.isdir(folder):
        raise ValueError(
            f"`folder` must be a folder that exists; check the path. Received: folder={folder!r}"
        )
    return os.path.abspath(folder)


def _divide(rows, origin, splits, class_names=None):
    """Return `LabeledClips` of each of `splits`, from rows of split, path and class.

    `origin` names the paths, which are checked. Classes are in sorted order by default.
    """
    if not rows:
        raise ValueError(f"{origin} names no audio file.")
    paths = check_files([path for _, path, _ in rows], origin)
    class_names = class_names or sorted({name for *_, name in rows})
    indices = {name: (index,) for index, name in enumerate(class_names)}
    clips = LabeledClips(paths, [indices[name] for *_, name in rows], class_names)
    return {
        split: clips.select([index for index, row in enumerate(rows) if row[0] == split])
        for split in splits
    }
