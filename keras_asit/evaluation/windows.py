"""Recordings of any length: cut into windows, and what a model says of them, averaged."""

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_asit._arguments import check_instance, check_integers, check_number
from keras_asit._numpy_function import numpy_function
from keras_asit.data.passes import FilePasses
from keras_asit.data.sources import read_manifest
from keras_asit.models import ASiTAudioClassifier, ASiTAudioConverter


def window_starts(length: int, window: int, *, overlap: float = 0.0) -> np.ndarray:
    """Return where windows start that cover a length: as few as overlap enough, evenly spaced.

    Args:
        length: int. What is to be covered, in samples, frames or steps.
        window: int. Length of a window. What is shorter has one window, from 0.
        overlap: float in [0, 0.9]. Least share of a window that the next one covers again.
            Defaults to `0.0`.

    Returns:
        An int array, from 0 to `length - window`.

    Example:
    ```python
    keras_asit.evaluation.window_starts(25, 10)  # [0, 8, 15]
    ```
    """
    check_integers(0, length=length)
    check_integers(1, window=window)
    check_number("overlap", overlap, 0, 0.9)
    rest = max(0, length - window)
    hop = max(1, round(window * (1 - overlap)))
    return np.linspace(0, rest, 1 + math.ceil(rest / hop)).round().astype("int64")


def window_dataset(
    source: str | Sequence[str],
    converter: ASiTAudioConverter,
    *,
    overlap: float = 0.0,
    batch_size: int = 32,
    num_workers: int | None = None,
    at_least: int = 1,
    pad_with_silence: bool = False,
) -> "tf.data.Dataset":  # noqa: F821
    """Return a dataset of windows that cover recordings: one pass over the files, in order.

    A window is what fills the converter's frames. A recording that is not longer is one window;
    a longer one is cut at `window_starts`. Files that cannot be read are skipped with a warning,
    as in `keras_asit.data.audio_dataset`.

    Args:
        source: str, `os.PathLike`, or list of them; see `keras_asit.data.read_manifest`.
        converter: an `ASiTAudioConverter`. Files of another sample rate are resampled.
        overlap: float. As in `window_starts`.
        batch_size: int. Windows of a batch. Defaults to `32`.
        num_workers: int. Files decoded at once. Defaults to `None`: `tf.data` chooses.
        at_least: int. A pass with fewer readable files is an error. Defaults to `1`.
        pad_with_silence: bool. Whether what is shorter than a window is padded with silence, as
            in pre-training, or its spectrogram with zeros, as in fine-tuning. Defaults to
            `False`, zeros.

    Returns:
        A `tf.data.Dataset` of `(spectrograms, indices)`: float32 of shape
        `(batch, frames, mels)`, and int64 of shape `(batch,)`, the file of each window.

    Raises:
        ValueError: if an argument is invalid, or the source names no existing audio file.
        tf.errors.InvalidArgumentError: at the end of a pass of too few readable files.

    Example:
    ```python
    converter = keras_asit.models.ASiTAudioConverter(num_frames=592)
    windows = keras_asit.evaluation.window_dataset("recordings", converter)
    for spectrograms, indices in windows:
        print(spectrograms.shape, indices)
    ```
    """
    import tensorflow as tf

    check_instance("converter", converter, ASiTAudioConverter)
    check_number("overlap", overlap, 0, 0.9)
    check_integers(1, batch_size=batch_size)
    check_integers(0, at_least=at_least)
    check_integers(1, or_none=True, num_workers=num_workers)
    length = round(converter.seconds * converter.sample_rate)

    def starts(samples):
        return window_starts(int(samples), length, overlap=overlap)

    def cut(clip):
        waveform = clip["audio"]
        if pad_with_silence:
            waveform = tf.pad(waveform, [[0, tf.maximum(0, length - tf.size(waveform))]])
        firsts = numpy_function(starts, [tf.size(waveform)], tf.int64)
        windows = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(firsts, [None]))
        return windows.map(lambda first: (waveform[first : first + length], clip["seed"][1]))

    settings = {"num_workers": num_workers, "at_least": at_least}
    passes = FilePasses(read_manifest(source), converter.sample_rate, **settings)
    windows = passes.clips().flat_map(cut).map(lambda window, index: (converter(window), index))
    return windows.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def predict_recordings(
    model: keras.Model,
    source: str | Sequence[str],
    *,
    converter: ASiTAudioConverter | None = None,
    overlap: float = 0.0,
    batch_size: int = 32,
    at_least: int = 1,
    pad_with_silence: bool = False,
    verbose: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Run a model over recordings of any length, and average over the windows of each.

    Args:
        model: an `ASiTAudioClassifier`, whose probabilities are averaged, or a `keras.Model`
            from spectrograms of shape `(batch, frames, mels)` to a tensor.
        source: str, `os.PathLike`, or list of them; see `keras_asit.data.read_manifest`.
        converter: an `ASiTAudioConverter` with the frames and mel bins of the model. A window
            is what fills its frames. Defaults to `None`, that of the classifier.
        overlap, batch_size, at_least: as in `window_dataset`.
        pad_with_silence: bool. As in `window_dataset`; `True` suits a backbone that is not
            fine-tuned. Defaults to `False`.
        verbose: int. `1` shows a progress bar of the files. Defaults to `0`.

    Returns:
        A tuple: float32 array of shape `(recordings, ...)`, and the indices of those
        recordings in `read_manifest(source)`. Files that cannot be read are left out, with a
        warning.

    Raises:
        ValueError, tf.errors.InvalidArgumentError: as in `window_dataset`.

    Example:
    ```python
    probabilities, indices = keras_asit.evaluation.predict_recordings(classifier, "sounds")
    ```
    """
    if isinstance(model, ASiTAudioClassifier):
        if converter is None and model.preprocessor is not None:
            converter = model.preprocessor.audio_converter
        model = model.probability_model()
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {type(model).__name__}")
    paths = read_manifest(source)
    options = {"overlap": overlap, "batch_size": batch_size, "at_least": at_least}
    windows = window_dataset(paths, converter, pad_with_silence=pad_with_silence, **options)
    outputs, owners = [np.zeros((0, *model.output_shape[1:]))], [np.zeros(0, "int64")]
    progress = keras.utils.Progbar(len(paths), verbose=verbose, unit_name="file")
    for spectrograms, indices in windows.as_numpy_iterator():
        outputs.append(model.predict_on_batch(spectrograms))
        owners.append(indices)
        progress.update(indices[-1])
    progress.update(len(paths), finalize=True)
    # The windows of a recording follow each other.
    outputs, owners = np.concatenate(outputs), np.concatenate(owners)
    indices, firsts, counts = np.unique(owners, return_index=True, return_counts=True)
    sums = np.add.reduceat(outputs, firsts, axis=0)
    return (sums / counts.reshape(-1, *[1] * (sums.ndim - 1))).astype("float32"), indices


def average_windows(windows, starts, weights):
    """Lay windows, `(windows, steps, ...)`, where they start; average them where they overlap.

    A step of a window counts as the `weights`, of shape `(steps,)`, say. Returns a float32 array
    of shape `(starts[-1] + steps, ...)`.
    """
    weights = np.reshape(weights, (-1, *[1] * (np.ndim(windows) - 2)))
    sums = np.zeros((starts[-1] + len(weights), *np.shape(windows)[2:]))
    counts = np.zeros((len(sums), *weights.shape[1:]))
    for start, window in zip(starts, windows):
        sums[start : start + len(weights)] += weights * window
        counts[start : start + len(weights)] += weights
    return (sums / counts).astype("float32")
