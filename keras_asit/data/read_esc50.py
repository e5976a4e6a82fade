"""ESC-50: environmental sounds in five folds."""

import csv
import os

from keras_asit.arguments import check_choice
from keras_asit.data.labeled_clips import LabeledClips
from keras_asit.data.read_manifest import check_files, check_folder

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
