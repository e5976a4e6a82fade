"""Recordings of any length, cut into windows."""

from keras_asit._arguments import check_number, check_positive_integer
from keras_asit.data.passes import clip_passes
from keras_asit.data.sources import read_manifest


def window_dataset(
    source,
    sample_rate=16000,
    window_seconds=10.0,
    overlap=0.0,
    batch_size=32,
    num_parallel_calls=None,
    at_least=1,
):
    """Return a dataset of windows that cover recordings: one pass over the files, in order.

    A recording that is not longer than a window is one window of its own length. A longer one
    is covered by as few whole windows as have the overlap, evenly spaced. Files that cannot be
    read are skipped with a warning, as in `keras_asit.data.audio_dataset`.

    Args:
        source: str, `os.PathLike`, or list of them; see `keras_asit.data.read_manifest`.
        sample_rate: int. In Hz; files of another one are resampled. Defaults to `16000`.
        window_seconds: float. Defaults to `10.0`.
        overlap: float in [0, 0.9]. Least share of a window that the next one covers again.
            Defaults to `0.0`.
        batch_size: int. Windows of a batch. Defaults to `32`.
        num_parallel_calls: int. How many files are decoded at once. Defaults to `None`:
            `tf.data` chooses.
        at_least: int. A pass with fewer readable files is an error. Defaults to `1`.

    Returns:
        A `tf.data.Dataset` of `(waveforms, indices)`: a ragged float32 tensor of shape
        `(batch, None)`, and int64 of shape `(batch,)`, the file of each window.

    Raises:
        ValueError: if an argument is invalid, or the source names no existing audio file. A
            pass ends in `tf.errors.InvalidArgumentError` if fewer files than `at_least` could
            be read.

    Example:

    ```python
    windows = keras_asit.evaluation.window_dataset("recordings", window_seconds=5.0)
    for waveforms, indices in windows:
        print(waveforms.shape, indices)
    ```
    """
    import tensorflow as tf

    check_positive_integer("sample_rate", sample_rate)
    check_number("window_seconds", window_seconds, 1 / sample_rate)
    check_number("overlap", overlap, 0, 0.9)
    check_positive_integer("batch_size", batch_size)
    check_number("at_least", at_least, 0)
    length = round(window_seconds * sample_rate)
    hop = max(1, round(length * (1 - overlap)))

    def windows(waveform, _, entry):
        rest = tf.maximum(tf.size(waveform) - length, 0)
        number = 1 + tf.cast(tf.math.ceil(rest / hop), tf.int32)
        # In double precision, every sample of a long recording can be a start.
        starts = tf.linspace(tf.constant(0, tf.float64), tf.cast(rest, tf.float64), number)
        starts = tf.cast(tf.round(starts), tf.int32)
        places = starts[:, None] + tf.range(tf.minimum(length, tf.size(waveform)))[None, :]
        cut = tf.data.Dataset.from_tensor_slices(tf.gather(waveform, places))
        return cut.map(lambda window: (window, entry[1]))

    paths = read_manifest(source)
    clips = clip_passes(paths, sample_rate, False, 0, num_parallel_calls, at_least)
    return clips.flat_map(windows).ragged_batch(batch_size).prefetch(tf.data.AUTOTUNE)
