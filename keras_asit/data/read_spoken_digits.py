"""The Free Spoken Digit Dataset: ten digits of six speakers."""

import os

from keras_asit.arguments import check_choice
from keras_asit.data.labeled_clips import LabeledClips
from keras_asit.data.read_manifest import check_folder, search_folder

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
