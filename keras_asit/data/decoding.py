"""One audio file as a waveform, read block by block."""

import io
import os
import shutil
import tempfile

import numpy as np

from keras_asit._arguments import LARGEST_SAMPLE, check_integers, check_number, name_some
from keras_asit.data.mpeg import restated

# What reading an audio file that is none, or a damaged one, ends in.
UNREADABLE = (OSError, RuntimeError, ValueError)
BLOCK_SAMPLES = 2**22
# Containers that only ffmpeg reads, by their bytes from the fifth or the first on: whatever their
# suffix, they are no damaged files of libsndfile's.
CONTAINERS = {b"ftyp": "MP4", b"\x1aE\xdf\xa3": "Matroska or WebM", b"0&\xb2u": "Windows Media"}
# How a stream of Ogg begins.
OGG_STREAM = b"OggS\0\2"
# What libsndfile says, and what is the matter.
UNCLEAR = {
    "Internal error : SF_INFO struct incomplete.": "states a sample rate of 0 Hz, or no channels",
    "File does not exist or is not a regular file (possibly a pipe?).": "is damaged, or holds "
    "nothing that can be decoded",
}
SAMPLE_RATES = (1_000, 1_000_000)
# What libsndfile reads, and what ffmpeg, the fallback, reads where it is installed.
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp2", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".caf", ".au", ".snd", ".sph", ".avr", ".voc"),
    *(".mp1", ".mpga", ".nist", ".sf", ".ircam", ".paf", ".pvf", ".svx", ".8svx"),
)
FFMPEG_SUFFIXES = (
    *(".m4a", ".m4b", ".m4r", ".mp4", ".m4v", ".mov", ".aac", ".adts", ".3gp", ".3g2", ".amr"),
    *(".awb", ".ac3", ".eac3", ".dts", ".webm", ".weba", ".mka", ".mkv", ".wma", ".wmv", ".asf"),
    *(".wv", ".ape", ".tta", ".mpc", ".spx", ".ra", ".rm", ".dsf", ".ogv", ".avi", ".flv"),
    *(".mpg", ".mpeg"),
)


def decodable_suffixes():
    """Return the suffixes of audio files that can be decoded here."""
    return AUDIO_SUFFIXES + FFMPEG_SUFFIXES if shutil.which("ffmpeg") else AUDIO_SUFFIXES


def decode_audio(
    path, *, sample_rate: int = 16000, max_seconds: float | None = None, offset: float = 0.0
) -> np.ndarray:
    """Return an audio file as a mono waveform at a given sample rate.

    Channels are mixed down to their mean. A file that ends early yields what it still holds,
    except one of FLAC or CAF: libsndfile takes the one for damaged there and does not open the
    other. What libsndfile does not read, such as m4a, webm or wma, is decoded as librosa does: by
    ffmpeg where that is installed, as a whole, to 16 bits.

    Args:
        path: str, or a file opened in binary mode, for which there is no fallback.
        sample_rate: int. In Hz; a file of another rate is resampled. Defaults to `16000`.
        max_seconds: float. Of a longer file, a stretch of this length is found by seeking and
            read alone. Where the file cannot be read there, because its header states a wrong
            length or part of it is damaged, the first stretch stands in. Defaults to `None`:
            the whole file.
        offset: float in [0, 1]. Where that stretch lies, from the first one possible to the
            last. Defaults to `0.0`.

    Returns:
        A float32 array of shape `(samples,)` with at least one sample.

    Raises:
        ValueError: If an argument is invalid, or the file has no samples or some that are not
            finite or far beyond [-1, 1], or is no regular file with a header of an audio format.
        RuntimeError: If neither libsndfile nor ffmpeg can read the file.

    Example:
    ```python
    waveform = keras_asit.data.decode_audio("recording.mp3")
    ```
    """
    check_integers(1, sample_rate=sample_rate)
    if max_seconds is not None:
        check_number("max_seconds", max_seconds, 0)
    check_number("offset", offset, 0, 1)
    try:
        return read_waveform(path, sample_rate, max_seconds, offset)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    except RuntimeError as error:
        raise RuntimeError(f"{path} cannot be decoded: {reason_of(error)}") from None


def reason_of(error):
    """Return why a file is unreadable, without the path that soundfile puts in front."""
    reason = str(getattr(error, "error_string", error))
    return UNCLEAR.get(reason, reason)


def name_unreadable(reasons):
    """Return (path, why) of unreadable files as text for a message."""
    return name_some([f"{path} ({why})" for path, why in sorted(reasons)], 10, separator="; ")


def read_waveform(path, sample_rate, max_seconds=None, offset=0.0, *, stand_in=True):
    """Return what `decode_audio` does, but leave it to the caller to name the file in errors.

    Without `stand_in`, a stretch that cannot be read is an error.
    """
    with open_audio(path) as file:
        file_rate = file.samplerate
        start, limit = find_stretch(file.frames, file_rate, max_seconds, offset)
        try:
            if start and file.subtype == "GSM610":
                # libsndfile cannot seek in it.
                samples = read_samples(file, start + limit)[start:]
            else:
                if start:
                    file.seek(start)
                samples = read_samples(file, limit)
        except RuntimeError:
            if not start or not stand_in:
                raise
            samples = ()
    if not len(samples):
        if start and stand_in:
            # Opened anew, for libsndfile's decoders may not recover from a failed seek.
            return read_waveform(path, sample_rate, max_seconds)
        raise ValueError("has no samples")
    return resample(samples, file_rate, sample_rate)


def stated_seconds(path):
    """Return the duration that an audio file states; 0.0 if it cannot be read."""
    try:
        with open_audio(path) as file:
            return file.frames / file.samplerate
    except UNREADABLE:
        return 0.0


def find_stretch(num_frames, file_rate, max_seconds, offset):
    """Return where the stretch that `decode_audio` reads begins, and its length or `None`."""
    if max_seconds is None:
        return 0, None
    length = max(1, round(max_seconds * file_rate))
    return round(offset * max(0, num_frames - length)), length


def open_audio(path, *, fallback=True):
    """Return a `soundfile.SoundFile` of a path or a binary file, or raise why it is none.

    With `fallback`, ffmpeg may decode what is not for libsndfile, and what that cannot open, except
    where the suffix is one that it reads: such a file is damaged, and so it is on every machine.
    """
    if isinstance(path, io.BufferedIOBase):
        file = _open_with_libsndfile(path, path)
    elif os.path.isfile(path):
        # As bytes, since a name need not be UTF-8.
        path = os.fsencode(os.path.abspath(path))
        try:
            with open(path, "rb") as content:
                file = _open(path, content, fallback)
        except PermissionError:
            raise ValueError("may not be read; change its permissions") from None
    else:
        # A named pipe would be waited for without end.
        raise ValueError("is not a regular file")
    low, high = SAMPLE_RATES
    if not low <= file.samplerate <= high:
        file.close()
        raise ValueError(f"has a sample rate of {file.samplerate} Hz, not {low} to {high}")
    return file


def _open(path, content, fallback):
    """Return a `soundfile.SoundFile` of a path whose content is open, too."""
    needed_for = _read_by_ffmpeg_alone(content)
    if needed_for and fallback:
        file = _open_with_ffmpeg(path)
        if file is None:
            remedy = "nor can ffmpeg" if shutil.which("ffmpeg") else "ffmpeg can: install it"
            raise ValueError(f"holds {needed_for}, which libsndfile cannot decode; {remedy}")
        return file
    try:
        file = _open_with_libsndfile(path, content)
    except RuntimeError:
        is_damaged = path.lower().endswith(tuple(map(os.fsencode, AUDIO_SUFFIXES)))
        file = _open_with_ffmpeg(path) if fallback and not is_damaged else None
        if file is None:
            raise
    return file


def _read_by_ffmpeg_alone(content):
    """Return what a file is that only ffmpeg reads, by its bytes, or `None`.

    Raises `ValueError` that says what it is if it is no sound.
    """
    head = content.read(64)
    if not head:
        raise ValueError("is empty")
    if head.startswith(b"version https://git-lfs"):
        raise ValueError("is a pointer of git-lfs; `git lfs pull` brings the file")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError("is a web page, not sound; download the file again")
    if head.startswith(OGG_STREAM):
        if b"FLAC" in head:
            return "FLAC in Ogg"
        # Of several, libsndfile would read the first.
        return "streams of Ogg in a row" if OGG_STREAM in content.read() else None
    if head.startswith(b"Creative Voice File"):
        first = int.from_bytes(head[20:22], "little")
        stop = first + 4 + int.from_bytes(head[first + 1 : first + 4], "little")
        # libsndfile would take the headers of further blocks for samples. Those of sox state a
        # few bytes less than they have.
        is_all = stop + 16 > content.seek(0, io.SEEK_END)
        return None if is_all else "a Creative Voice File of several blocks"
    # The last 36 bits of the eight bytes count samples; who writes to a pipe cannot know them.
    if head[:4] == b"fLaC" and int.from_bytes(head[18:26], "big") % 2**36 == 0:
        return "FLAC of unstated length"
    return CONTAINERS.get(head[4:8]) or CONTAINERS.get(head[:4])


def _open_with_libsndfile(path, content):
    """Return a `soundfile.SoundFile` of a path, or of its content if that states a wrong length."""
    import soundfile

    content.seek(0)
    head = content.read(4096)
    better, missing = None, 0
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        better, missing = restated(content)
    elif head[:4] == b"RIFF" and b"data\0\0\0\0" in head:
        # Of a recorder that came to no end.
        better = _with_length(head + content.read())
    content.seek(0)
    try:
        file = soundfile.SoundFile(path if better is None else better)
        file.missing_frames = missing
        return file
    except TypeError as error:
        # Of files without a header, such as .raw, soundfile asks for rate and channels.
        raise ValueError(f"has no header of an audio format: {error}") from None


def _with_length(content):
    """Return a wav file that states no length as a binary file that does."""
    chunk = content.find(b"data\0\0\0\0")
    size = (len(content) - chunk - 8).to_bytes(4, "little")
    return io.BytesIO(content[: chunk + 4] + size + content[chunk + 8 :])


def _open_with_ffmpeg(path):
    """Return a `soundfile.SoundFile` of what ffmpeg decodes; `None` without ffmpeg or sound.

    It lies in a temporary file, so that memory stays bounded and it can be sought in.
    """
    import audioread.ffdec
    import soundfile

    decoded = tempfile.TemporaryFile()  # noqa: SIM115, it stays open as long as it is read.
    try:
        with audioread.ffdec.FFmpegAudioFile(path) as source:
            form = {"samplerate": source.samplerate, "channels": source.channels}
            with soundfile.SoundFile(decoded, "w", format="W64", subtype="PCM_16", **form) as file:
                for block in source:
                    file.buffer_write(block, "int16")
    except (audioread.DecodeError, RuntimeError):
        return None
    decoded.seek(0)
    return soundfile.SoundFile(decoded)


def read_blocks(file, limit=None):
    """Yield float32 arrays of shape `(frames, channels)` of the rest of a file.

    That is to the end, whatever length the header states, or as many frames as `limit`.
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
        rest = rest - len(block) if len(block) == asked else 0


def mix_down(block):
    """Return the mean of the channels of a block, or raise `ValueError` if it is no sound."""
    channels = block.shape[1]
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.full(channels, 1 / channels, "float32")
        samples = block[:, 0] if channels == 1 else block @ mean
    if not np.isfinite(samples).all():
        raise ValueError("has samples that are not finite")
    peak = max(-samples.min(), samples.max())
    if peak > LARGEST_SAMPLE:
        raise ValueError(
            f"has samples far beyond [-1, 1], up to {peak:g}; divide them by that, or integers of "
            "16 bits by 32768, and save it again"
        )
    return samples


def read_samples(file, limit=None):
    """Return the mean of the channels of the rest of a file, shape `(samples,)`."""
    blocks = [mix_down(block) for block in read_blocks(file, limit)]
    return np.concatenate([np.zeros(0, "float32"), *blocks])


def resample(samples, file_rate, sample_rate):
    """Return samples at another rate; of any number of them at least one is left."""
    import soxr

    if file_rate == sample_rate:
        return samples
    resampled = soxr.resample(samples, file_rate, sample_rate, quality="HQ")
    return resampled if len(resampled) else samples[:1]
