"""Pictures of spectrograms, reconstructions, events and confusions; of the extra `pictures`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from keras_asit._extras import of_extra
from keras_asit.layers import LogMelFilterbank
from keras_asit.layers.log_mel_filterbank import LOW_FREQUENCY
from keras_asit.models import ASiTAudioConverter

if TYPE_CHECKING:
    import matplotlib.figure


def plot_reconstruction(
    clean: ArrayLike,
    corrupted: ArrayLike,
    reconstruction: ArrayLike,
    *,
    mask: ArrayLike,
    converter: ASiTAudioConverter | None = None,
) -> "matplotlib.figure.Figure":
    """Draw spectrograms under each other: clean, corrupted, reconstructed, and the error.

    Args:
        clean, corrupted, reconstruction: arrays of shape `(frames, mels)`.
        mask: array of the same shape, 1 where `corrupted` differs: only there is an error drawn,
            since only there is a reconstruction asked for.
        converter: the `ASiTAudioConverter` that made them, for seconds and hertz on the axes.
            Defaults to `None`, one at 16 kHz.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it.

    Raises:
        ValueError: If a spectrogram has no finite value.

    Example:
    ```python
    outputs = pretrainer.predict(dataset.take(1))
    names = ("clean", "corrupted", "reconstruction", "mask")
    panels = {name: outputs[name][0, 0] for name in names}
    figure = keras_asit.evaluation.plot_reconstruction(**panels, converter=converter)
    figure.savefig("reconstruction.png")
    ```
    """
    figure = _figure(8, 8)
    colors = {"vmin": float(np.min(clean)), "vmax": float(np.max(clean))}
    panels = {
        "clean": (clean, colors),
        "corrupted": (corrupted, colors),
        "reconstructed": (reconstruction, colors),
        "error": (np.abs(np.subtract(reconstruction, clean)) * mask, {"vmin": 0}),
    }
    rows = figure.subplots(len(panels), 1, sharex=True, sharey=True)
    for axes, (title, (values, options)) in zip(rows, panels.items()):
        _draw_spectrogram(axes, values, converter, **options)
        axes.set_title(title)
        axes.label_outer()
    return figure


def plot_events(
    spectrogram: ArrayLike, events: Sequence, *, converter: ASiTAudioConverter | None = None
) -> "matplotlib.figure.Figure":
    """Draw a spectrogram with its events under it.

    Args:
        spectrogram: array of shape `(frames, mels)`.
        events: list of `keras_asit.events.Event`.
        converter: as in `plot_reconstruction`.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
    ```python
    events = [keras_asit.events.Event(onset=1.2, offset=3.0, label="dog", score=0.9)]
    spectrogram = np.random.normal(size=(998, 128))
    keras_asit.evaluation.plot_events(spectrogram, events).savefig("events.png")
    ```
    """
    labels = list(dict.fromkeys(event.label for event in events))
    height = max(0.5, 0.3 * len(labels))
    figure = _figure(10, 3 + height)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, height))
    _draw_spectrogram(above, spectrogram, converter)
    above.label_outer()
    for event in events:
        row, seconds = labels.index(event.label), event.offset - event.onset
        alpha = 0.3 + 0.7 * event.score
        below.barh(row, seconds, left=event.onset, color="tab:blue", alpha=alpha)
    below.set(yticks=range(len(labels)), yticklabels=labels, xlabel="seconds")
    below.invert_yaxis()
    return figure


def plot_confusion(
    labels: ArrayLike, predictions: ArrayLike, class_names: Sequence[str]
) -> "matplotlib.figure.Figure":
    """Return a picture of the confusion matrix, rows being the true classes.

    Args:
        labels: int array of shape `(clips,)`, the true classes.
        predictions: int array of shape `(clips,)`.
        class_names: list of strs.

    Returns:
        A `matplotlib.figure.Figure`. Colors are shares of a class; numbers are clips, where
        there are at most 40 classes.

    Raises:
        ValueError: if shapes do not fit, or there is no name of a class.

    Example:
    ```python
    keras_asit.evaluation.plot_confusion([0, 1, 1], [0, 1, 0], ["dog", "cat"]).savefig("c.png")
    ```
    """
    labels, predictions = np.asarray(labels, "int64"), np.asarray(predictions, "int64")
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ValueError(
            "Labels and predictions must have the same shape (clips,). Received: "
            f"{labels.shape} and {predictions.shape}"
        )
    number = len(class_names)
    for name, classes in (("labels", labels), ("predictions", predictions)):
        for place in np.flatnonzero((classes < 0) | (classes >= number)):
            raise ValueError(
                f"`{name}` must be classes from 0 to {number - 1}, since `class_names` has "
                f"{number}. Received: {name}[{place}]={classes[place]}"
            )
    counts = np.zeros((number, number), "int64")
    np.add.at(counts, (labels, predictions), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    side = min(3 + 0.3 * number, 30)
    figure = _figure(side + 1, side)
    axes = figure.add_subplot(xlabel="predicted", ylabel="true")
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, label="share of the true class")
    if number <= 100:
        axes.set_xticks(range(number), class_names, rotation=90)
        axes.set_yticks(range(number), class_names)
    if number <= 40:
        for row, column in zip(*counts.nonzero()):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=color)
    return figure


def _figure(width, height):
    with of_extra("pictures"):
        from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _draw_spectrogram(axes, spectrogram, converter, **options):
    """Draw a spectrogram with seconds and hertz on its axes."""
    import librosa.display

    if not np.isfinite(spectrogram).any():
        raise ValueError("A spectrogram to be drawn must have finite values. Received: none is")
    frames, mels = np.shape(spectrogram)
    filterbank = LogMelFilterbank(num_mels=mels) if converter is None else converter.filterbank
    rate = filterbank.sample_rate
    # The triangles of the filters are evenly spaced on the mel scale: edges, centers, in turn.
    hertz = librosa.mel_frequencies(2 * mels + 3, fmin=LOW_FREQUENCY, fmax=rate / 2, htk=True)
    librosa.display.specshow(
        np.transpose(spectrogram),
        x_coords=np.arange(frames + 1) * filterbank.shift / rate,
        y_coords=hertz[1::2],
        x_axis="s",
        y_axis="mel",
        ax=axes,
        **{"cmap": "magma", **options},
    )
    axes.set(xlabel="seconds", ylabel="hertz")
