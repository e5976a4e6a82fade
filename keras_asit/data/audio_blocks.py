"""Audio files read block by block, so that no header decides how much memory they take."""

import io
import os

import numpy as np

from keras_asit.waveforms import LARGEST_SAMPLE

BLOCK_SAMPLES = 2**22
SAMPLE_RATES = (1_000, 1_000_000)


def open_audio(path):
    """Return a `soundfile.SoundFile` of `path`, or raise why it is none.

    Args:
        path: str, `os.PathLike`, or a file opened in binary mode.

    Raises:
        ValueError: If the path is no regular file, or its header has no audio format or a sample
            rate that no recording has.
        RuntimeError: If libsndfile cannot read the header.
    """
    import soundfile

    if isinstance(path, io.BufferedIOBase):
        path.seek(0)
    elif os.path.isfile(path):
        # As bytes, since a name need not be UTF-8.
        path = os.fsencode(path)
    else:
        # A named pipe would be waited for without end.
        raise ValueError("is not a regular file")
    try:
        file = soundfile.SoundFile(path)
    except TypeError as error:
        # Of files without a header, such as .raw, soundfile asks for rate and channels.
        raise ValueError(f"has no header of an audio format: {error}") from None
    low, high = SAMPLE_RATES
    if not low <= file.samplerate <= high:
        file.close()
        raise ValueError(f"has a sample rate of {file.samplerate} Hz, not {low} to {high}")
    return file


def read_blocks(file, limit=None):
    """Yield float32 arrays of shape `(frames, channels)` from the file's position on.

    Args:
        file: `soundfile.SoundFile`.
        limit: int. Frames to read at most. Defaults to `None`: as many as there are, whatever
            the header says.
    """
    size = max(1, BLOCK_SAMPLES // file.channels)
    rest = np.inf if limit is None else limit
    while rest > 0:
        asked = min(size, rest)
        if file.subtype == "PCM_16":
            # The same numbers as libsndfile's own floats, in a quarter of the time.
            block = file.read(asked, "int16", always_2d=True) * np.float32(1 / 32768)
        else:
            block = file.read(asked, "float32", always_2d=True)
        if len(block):
            yield block
        rest -= len(block)
        if len(block) < asked:
            return


def mix_down(block):
    """Return the mean of the channels of a block, or raise `ValueError` if it is no sound."""
    channels = block.shape[1]
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.full(channels, 1 / channels, "float32")
        samples = block[:, 0] if channels == 1 else block @ mean
    if not np.isfinite(samples).all():
        raise ValueError("has samples that are not finite")
    if max(-samples.min(), samples.max()) > LARGEST_SAMPLE:
        raise ValueError("has samples far beyond [-1, 1]")
    return samples


def resample(samples, file_rate, sample_rate):
    """Return samples at another rate; of any number of them at least one is left."""
    import soxr

    if file_rate == sample_rate:
        return samples
    resampled = soxr.resample(samples, file_rate, sample_rate, quality="HQ")
    return resampled if len(resampled) else samples[:1]
