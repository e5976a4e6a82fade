"""VoxCeleb1: which of 1,251 celebrities speaks."""

import os

from keras_asit.data.labeled_clips import LabeledClips
from keras_asit.data.read_manifest import check_files, check_folder

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
