"""One audio file as a waveform."""

import numpy as np

from keras_asit.arguments import check_number, check_positive_integer
from keras_asit.data.audio_blocks import mix_down, open_audio, read_blocks, resample


def decode_audio(path, sample_rate, max_seconds=None, position=0.0):
    """Return an audio file as a mono waveform at a given sample rate.

    Channels are mixed down to their mean. A file that ends early yields what it still holds,
    except one of FLAC or CAF: libsndfile takes the one for damaged there and does not open the
    other.

    Args:
        path: str, or a file opened in binary mode. In any format that libsndfile reads.
        sample_rate: int. Sample rate of the waveform in Hz; another one is resampled.
        max_seconds: float. Of a longer file, a stretch of this length is found by seeking and
            read alone. Where the file cannot be read there, because its header states a wrong
            length or part of it is damaged, the first stretch stands in. Defaults to `None`:
            the whole file.
        position: float in [0, 1]. Where that stretch lies, from the first one possible to the
            last. Defaults to `0.0`.

    Returns:
        A float32 array of shape `(samples,)` with at least one sample.

    Raises:
        ValueError: If an argument is invalid, or the file has no samples or some that are not
            finite or far beyond [-1, 1], or is no regular file with a header of an audio format.
        RuntimeError: If libsndfile cannot read the file.

    Example:

    ```python
    waveform = keras_asit.data.decode_audio("recording.mp3", sample_rate=16000)
    ```
    """
    check_positive_integer("sample_rate", sample_rate)
    if max_seconds is not None:
        check_number("max_seconds", max_seconds, 0)
    check_number("position", position, 0, 1)
    try:
        return read_waveform(path, sample_rate, max_seconds, position)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    except RuntimeError as error:
        reason = getattr(error, "error_string", error)
        raise RuntimeError(f"{path} cannot be decoded: {reason}") from None


def read_waveform(path, sample_rate, max_seconds=None, position=0.0):
    """Return what `decode_audio` does, but leave it to the caller to name the file in errors."""
    with open_audio(path) as file:
        file_rate = file.samplerate
        limit = None if max_seconds is None else max(1, round(max_seconds * file_rate))
        start = 0 if limit is None else round(position * max(0, file.frames - limit))
        samples = _read_from(file, start, limit) if start else None
    if samples is None:
        # Opened anew, for libsndfile's decoders may not recover from a failed seek.
        with open_audio(path) as file:
            samples = _join(read_blocks(file, limit))
    if not len(samples):
        raise ValueError("has no samples")
    return resample(samples, file_rate, sample_rate)


def _read_from(file, start, limit):
    """Return a stretch of a file, or `None` where there is none to be read."""
    try:
        file.seek(start)
        samples = _join(read_blocks(file, limit))
    except RuntimeError:
        return None
    return samples if len(samples) else None


def _join(blocks):
    blocks = [mix_down(block) for block in blocks]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks or [np.zeros(0, "float32")])
