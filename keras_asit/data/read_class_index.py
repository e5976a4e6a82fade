"""The names of AudioSet's classes."""

import csv


def read_class_index(path):
    """Return AudioSet's classes in their order, from labels as in manifests to names.

    Args:
        path: str. AudioSet's `class_labels_indices.csv`, with the columns index, mid and
            display_name.

    Returns:
        A dict from labels such as `"/m/09x0r"` to names such as `"Speech"`.

    Raises:
        ValueError: if the file has other columns, or its indices do not count from 0.

    Example:

    ```python
    names = keras_asit.data.read_class_index("class_labels_indices.csv")
    clips = keras_asit.data.read_labeled_clips("eval.json", class_names=names)
    ```

    Reference: Gemmeke et al., "Audio Set", ICASSP 2017.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        columns = {"index", "mid", "display_name"}
        if not columns <= set(rows.fieldnames or []):
            raise ValueError(
                f"{path} must have the columns index, mid and display_name. Its columns: "
                f"{', '.join(rows.fieldnames or []) or 'none'}"
            )
        rows = list(rows)
    if [row["index"] for row in rows] != [str(index) for index in range(len(rows))]:
        raise ValueError(f"The indices of {path} must count from 0, a line each.")
    return {row["mid"]: row["display_name"] for row in rows}
