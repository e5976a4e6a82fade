"""Speech Commands: spoken keywords of one second."""

import os

from keras_asit.data.labeled_clips import LabeledClips
from keras_asit.data.read_manifest import check_files, check_folder, search_folder

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
