"""A picture of events under their spectrogram."""

import numpy as np


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
    keras_asit.events.plot_events(spectrogram, events, 10.0).savefig("events.png")
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
