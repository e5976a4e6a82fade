"""What a classifier is worth, class by class."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from keras_asit._extras import of_extra


def class_table(
    labels: ArrayLike, probabilities: ArrayLike, class_names: Sequence[str]
) -> list[dict]:
    """Return a row a class: how many clips, average precision, AUC, precision and recall.

    Args:
        labels: array of shape `(clips, classes)` of zeros and ones.
        probabilities: array of shape `(clips, classes)`. A clip counts as of its most probable
            class if every clip has one label, and else of all those from 0.5 on.
        class_names: list of strs.

    Returns:
        A list of dicts with the keys `"class"`, `"clips"`, `"average_precision"`, `"auc"`,
        `"precision"` and `"recall"`. What a class without clips, or of all clips, does not
        have is NaN.

    Raises:
        ValueError: if shapes do not fit.
        ImportError: without scikit-learn, of the extra `probe`.

    Example:

    ```python
    labels, probabilities = np.eye(2), np.array([[0.8, 0.2], [0.4, 0.6]])
    keras_asit.evaluation.class_table(labels, probabilities, ["dog", "cat"])
    ```
    """
    with of_extra("probe"):
        from sklearn.metrics import average_precision_score, roc_auc_score

    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if labels.shape != probabilities.shape or labels.shape[1:] != (len(class_names),):
        raise ValueError(
            f"Labels and probabilities must have shape (clips, {len(class_names)}). Received: "
            f"{labels.shape} and {probabilities.shape}"
        )
    chosen = probabilities >= 0.5
    if (labels.sum(axis=1) == 1).all():
        chosen = np.eye(len(class_names))[probabilities.argmax(axis=1)]
    clips, right = labels.sum(axis=0), (chosen * labels).sum(axis=0)
    with np.errstate(invalid="ignore"):  # A share of nothing is NaN.
        precision, recall = right / chosen.sum(axis=0), right / clips

    def curves(score, defined):
        curve = zip(labels.T, probabilities.T, defined)
        return [float(score(*pair)) if known else float("nan") for *pair, known in curve]

    columns = {
        "class": class_names,
        "clips": clips.astype(int).tolist(),
        "average_precision": curves(average_precision_score, clips > 0),
        "auc": curves(roc_auc_score, (clips > 0) & (clips < len(labels))),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
    }
    return [dict(zip(columns, row)) for row in zip(*columns.values())]
