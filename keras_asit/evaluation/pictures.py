"""Pictures of spectrograms, reconstructions, events and confusions."""

import numpy as np


def plot_reconstruction(clean, corrupted, reconstruction, mask):
    """Draw spectrograms under each other: clean, corrupted, reconstructed, and the mask.

    Needs matplotlib (extra `pictures`).

    Args:
        clean: array of shape `(frames, mels)`.
        corrupted: array of the same shape.
        reconstruction: array of the same shape.
        mask: array of the same shape, 1 where `corrupted` differs.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it.

    Raises:
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    outputs = pretrainer.predict(dataset.take(1))
    names = ("clean", "corrupted", "reconstruction", "mask")
    figure = keras_asit.evaluation.plot_reconstruction(*(outputs[name][0, 0] for name in names))
    figure.savefig("reconstruction.png")
    ```
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib: pip install 'keras-asit[pictures]'") from error
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True, sharey=True)
    shared_range = {"vmin": float(np.min(clean)), "vmax": float(np.max(clean))}
    panels = {
        "clean": (clean, shared_range),
        "corrupted": (corrupted, shared_range),
        "reconstructed": (reconstruction, shared_range),
        "mask": (mask, {"vmin": 0, "vmax": 1, "cmap": "gray"}),
    }
    for axis, (title, (values, options)) in zip(axes, panels.items()):
        axis.imshow(np.transpose(values), origin="lower", aspect="auto", **options)
        axis.set(title=title, ylabel="mel bin")
    axes[-1].set_xlabel("frame of 10 ms")
    return figure


def plot_events(spectrogram, events, seconds):
    """Draw a spectrogram with its events under it.

    Args:
        spectrogram: array of shape `(frames, mels)`.
        events: list of `keras_asit.events.Event`.
        seconds: float. Duration of the spectrogram.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: if matplotlib is not installed.

    Example:

    ```python
    events = [keras_asit.events.Event(onset=1.2, offset=3.0, label="dog", score=0.9)]
    spectrogram = np.random.normal(size=(998, 128))
    keras_asit.evaluation.plot_events(spectrogram, events, 10.0).savefig("events.png")
    ```
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'Pictures are drawn by matplotlib. Install it: pip install "keras-asit[pictures]"'
        ) from error
    labels = list(dict.fromkeys(event.label for event in events))
    figure = Figure(figsize=(10, 3 + 0.3 * len(labels)), layout="constrained")
    heights = (3, max(0.5, 0.3 * len(labels)))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    image = np.asarray(spectrogram).T
    above.imshow(image, origin="lower", aspect="auto", extent=(0, seconds, 0, len(image)))
    above.set_ylabel("mel bin")
    for event in events:
        below.barh(
            labels.index(event.label),
            event.offset - event.onset,
            left=event.onset,
            color="tab:blue",
            alpha=0.3 + 0.7 * event.score,
        )
    below.set(yticks=range(len(labels)), yticklabels=labels, xlabel="seconds", xlim=(0, seconds))
    below.invert_yaxis()
    return figure


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
