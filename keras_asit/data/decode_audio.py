"""One audio file as a waveform."""

import numpy as np


def decode_audio(path, sample_rate):
    """Return an audio file as a mono waveform at a given sample rate.

    Channels are mixed down to their mean. A file that ends early yields what it still holds.

    Args:
        path: str. Path of a file in any format that libsndfile reads.
        sample_rate: int. Sample rate of the waveform in Hz; another one is resampled.

    Returns:
        A float32 array of shape `(samples,)` with at least one sample.

    Raises:
        ValueError: If the file has no samples or some that are not finite.
        RuntimeError: If libsndfile cannot read the file.
    """
    import soundfile
    import soxr

    with soundfile.SoundFile(path) as file:
        file_rate = file.samplerate
        if file.subtype == "PCM_16":
            # The same numbers as libsndfile's own floats, in a quarter of the time.
            samples = file.read(dtype="int16") * np.float32(1 / 32768)
        else:
            samples = file.read(dtype="float32")
    if samples.ndim == 2:
        channels = samples.shape[1]
        samples = samples @ np.full(channels, 1 / channels, "float32")
    if not np.isfinite(samples).all():
        raise ValueError("has samples that are not finite")
    if file_rate != sample_rate and len(samples):
        samples = soxr.resample(samples, file_rate, sample_rate, quality="HQ")
    if not len(samples):
        raise ValueError("has no samples")
    return samples
