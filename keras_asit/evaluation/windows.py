"""Recordings of any length: cut into windows, and what a model says of them, averaged."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_asit._arguments import check_instance, check_integers, check_number
from keras_asit._numpy_function import numpy_function
from keras_asit.data.passes import FilePasses
from keras_asit.data.sources import read_manifest
from keras_asit.layers.log_mel_filterbank import WINDOW_SECONDS
from keras_asit.models import ASiTAudioClassifier, ASiTAudioConverter
from keras_asit.replicas import predict_batch

if TYPE_CHECKING:
    import tensorflow as tf


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
    window_seconds: float | None = None,
) -> "tf.data.Dataset":
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
        window_seconds: float. Length of a window, at most the converter's. Defaults to `None`,
            the converter's.

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
    options = {"overlap": overlap, "batch_size": batch_size, "num_workers": num_workers}
    options |= {"at_least": at_least, "pad_with_silence": pad_with_silence}
    windows = placed_windows(source, converter, window_seconds=window_seconds, **options)
    return windows.map(lambda spectrograms, places: (spectrograms, places[:, 0]))


def placed_windows(
    source,
    converter,
    *,
    overlap=0.0,
    batch_size=32,
    num_workers=None,
    at_least=1,
    pad_with_silence=False,
    window_seconds=None,
):
    """Return the dataset of `window_dataset`, with the places of windows instead of indices.

    Those are int64 of shape `(batch, 3)`: the file, where in it the window starts and, at the end
    of the sound at the latest, where it stops, in samples.
    """
    import tensorflow as tf

    check_instance("converter", converter, ASiTAudioConverter)
    if window_seconds is not None:
        check_number("window_seconds", window_seconds, WINDOW_SECONDS, converter.seconds)
    check_number("overlap", overlap, 0, 0.9)
    check_integers(1, batch_size=batch_size)
    check_integers(0, at_least=at_least)
    check_integers(1, or_none=True, num_workers=num_workers)
    length = round((window_seconds or converter.seconds) * converter.sample_rate)

    def starts(samples):
        return window_starts(int(samples), length, overlap=overlap)

    def cut(clip):
        waveform, samples = clip["audio"], clip["samples"]
        if pad_with_silence:
            waveform = tf.pad(waveform, [[0, tf.maximum(0, length - tf.size(waveform))]])
        firsts = numpy_function(starts, [tf.size(waveform)], tf.int64)
        windows = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(firsts, [None]))
        return windows.map(
            lambda first: (
                waveform[first : first + length],
                tf.stack([clip["seed"][1], first, tf.minimum(first + length, samples)]),
            )
        )

    settings = {"num_workers": num_workers, "at_least": at_least}
    passes = FilePasses(read_manifest(source), converter.sample_rate, **settings)
    windows = passes.clips().flat_map(cut).map(lambda window, place: (converter(window), place))
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
    windows = placed_windows(paths, converter, pad_with_silence=pad_with_silence, **options)
    means, indices = [], []
    progress = keras.utils.Progbar(len(paths), verbose=verbose, unit_name="file")
    for index, _, outputs in outputs_of_recordings(model, windows):
        means.append(outputs.mean(axis=0, dtype="float64"))
        indices.append(index)
        progress.update(index)
    progress.update(len(paths), finalize=True)
    means = np.reshape(means, (len(indices), *model.output_shape[1:])).astype("float32")
    return means, np.asarray(indices, "int64")


def outputs_of_recordings(model: keras.Model, windows) -> Iterator[tuple]:
    """Yield (index, places, outputs) of each readable recording in turn, a row a window of both.

    `windows` is what `placed_windows` returns; places are `(windows, 2)`, where each starts and
    stops.
    """

    def each():
        for spectrograms, places in windows.as_numpy_iterator():
            yield from zip(places, predict_batch(model, spectrograms))

    # The windows of a recording follow each other.
    for index, group in itertools.groupby(each(), key=lambda window: int(window[0][0])):
        places, outputs = zip(*group)
        yield index, np.stack(places)[:, 1:], np.stack(outputs)


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
