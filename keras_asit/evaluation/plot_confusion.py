"""Which classes are taken for which."""

import numpy as np


def plot_confusion(labels, predictions, class_names):
    """Return a picture of the confusion matrix, rows being the true classes.

    Args:
        labels: int array of shape `(clips,)`, the true classes.
        predictions: int array of shape `(clips,)`.
        class_names: list of strs.

    Returns:
        A `matplotlib.figure.Figure`. Colours are shares of a class; numbers are clips, where
        there are at most 40 classes.

    Raises:
        ValueError: if shapes do not fit, or there is no name of a class.
        ImportError: without matplotlib, of the extra `pictures`.

    Example:

    ```python
    keras_asit.evaluation.plot_confusion([0, 1, 1], [0, 1, 0], ["dog", "cat"]).savefig("c.png")
    ```
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "Pictures need matplotlib; install it with: pip install keras-asit[pictures]"
        ) from None
    labels, predictions = np.asarray(labels, "int64"), np.asarray(predictions, "int64")
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(
            "Labels and predictions must have the same shape (clips,). Received: "
            f"{labels.shape} and {predictions.shape}"
        )
    number = len(class_names)
    _check_classes("labels", labels, number)
    _check_classes("predictions", predictions, number)
    counts = np.zeros((number, number), "int64")
    np.add.at(counts, (labels, predictions), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    side = min(3 + 0.3 * number, 30)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted", ylabel="true")
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(picture, label="share of the true class")
    if number <= 100:
        axes.set_xticks(range(number), class_names, rotation=90)
        axes.set_yticks(range(number), class_names)
    if number <= 40:
        for row, column in zip(*counts.nonzero()):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=color)
    return figure


def _check_classes(name, classes, number):
    wrong = np.flatnonzero((classes < 0) | (classes >= number))
    if len(wrong):
        raise ValueError(
            f"`{name}` must be classes from 0 to {number - 1}, since `class_names` has {number}. "
            f"Received: {name}[{wrong[0]}]={classes[wrong[0]]}"
        )
