"""A picture of what the student sees and what it makes of it."""

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
    figure = keras_asit.callbacks.plot_reconstruction(*(outputs[name][0, 0] for name in names))
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
