"""Waveforms of audio files, one after another."""

from keras_asit.arguments import as_seed, check_positive_integer
from keras_asit.data.clip_passes import clip_passes
from keras_asit.data.read_manifest import read_manifest


def audio_dataset(
    source,
    sample_rate=16000,
    shuffle=False,
    seed=None,
    num_parallel_calls=None,
    decoder="soundfile",
):
    """Return a finite dataset of the waveforms of audio files: one pass over them.

    Files may be of any format that libsndfile reads (wav, flac, ogg, opus, mp3, ...), any
    sample rate, length and number of channels; channels are mixed down to their mean. Files
    that cannot be read, have no samples, or some that are not finite are skipped: one warning
    at the end of the pass counts and names them, and later passes do not repeat it.

    Unreadable files are found only by decoding them, so that the dataset's cardinality is
    unknown. Keras learns the number of batches in its first epoch.

    Args:
        source: str, `os.PathLike`, or list of them. A folder, a list of audio files, or a
            manifest; see `keras_asit.data.read_manifest`.
        sample_rate: int. Sample rate of the waveforms in Hz; files of another one are
            resampled. Defaults to `16000`.
        shuffle: bool. Whether each pass has a random order of its own. Defaults to `False`.
        seed: int. The same seed gives the same order in the first pass of every run, in the
            second pass, and so on. Defaults to `None`, a random one.
        num_parallel_calls: int. How many files are decoded at once. Defaults to `None`:
            `tf.data` chooses.
        decoder: str. `"soundfile"`, or `"tensorflow_io"`; see
            `keras_asit.data.pretraining_dataset`. Defaults to `"soundfile"`.

    Returns:
        A `tf.data.Dataset` of `(waveform, path)`: float32 of shape `(samples,)`, usually in
        [-1, 1], and a string.

    Raises:
        ValueError: If an argument is invalid, or the source names no existing audio file. A
            pass ends in `tf.errors.InvalidArgumentError` if no file of it could be read.
        ImportError: If the operators of tensorflow-io are asked for and do not load.

    Example:

    ```python
    for waveform, path in keras_asit.data.audio_dataset("recordings", sample_rate=32000):
        print(path.numpy().decode(), len(waveform) / 32000, "seconds")
    ```
    """
    check_positive_integer("sample_rate", sample_rate)
    seed = as_seed(seed)
    if num_parallel_calls is not None:
        check_positive_integer("num_parallel_calls", num_parallel_calls)
    paths = read_manifest(source)
    clips = clip_passes(paths, sample_rate, shuffle, seed, num_parallel_calls, decoder=decoder)
    return clips.map(lambda waveform, path, _: (waveform, path))
