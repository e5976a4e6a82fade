"""MPEG audio whose header states its true length, which libsndfile believes."""

import functools
import io
import re
import struct

# Kilobits a second, by whether it is version 1 and by layer, and hertz, by version.
LOW = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
KILOBITS = {
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): LOW,
    (False, 3): LOW,
}
HERTZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
LENGTH = re.compile(rb"(?:Xing|Info)(....)(....)(....)", re.DOTALL)


def restated(file):
    """Return the mp3 in a binary file as one with its frames only, counted in a header in front.

    Returns it, or `None` where it is just that, and how many frames are missing of those stated.
    Without a header lengths are guessed from the first frame; that of a file that others were
    appended to, or garbage was written into, is wrong.
    """
    file.seek(0)
    content = file.read()
    frames = [content[start:stop] for start, stop in _frames(content)]
    if not frames and content[:1] == b"\xff":
        raise RuntimeError(
            "Format not recognised: it begins as MPEG audio, but has no frame of it."
        )
    if not frames or _layer(frames[0]) != 3:
        return None, 0
    # Version 1 and several channels have more in front of it.
    is_first, is_mono = frames[0][1] >> 3 & 3 == 3, frames[0][3] >> 6 == 3
    place = 4 + (17 if is_first else 9) if is_mono else 4 + (32 if is_first else 17)
    header = bytearray(frames[0])
    length, missing = LENGTH.match(header, place), 0
    if not length or header[place + 7] & 3 != 3:
        # The largest frame, of silence; without a checksum.
        header = bytearray([0xFF, frames[0][1] | 1, frames[0][2] & 0x0C | 0xE0, frames[0][3]])
        header += bytes(_frame_size(header, 0) - 4)
        struct.pack_into(">4sI", header, place, b"Xing", 3)
        frames.insert(0, header)
    else:
        missing = int.from_bytes(length[2], "big") - len(frames[1:])
        joined = b"".join(frames)
        if not missing and joined in content:
            return None, 0
    num_bytes = len(header) + sum(map(len, frames[1:]))
    struct.pack_into(">II", header, place + 8, len(frames) - 1, num_bytes)
    return io.BytesIO(b"".join([header, *frames[1:]])), max(0, missing)


def _frames(content):
    """Yield where frames begin and end; one counts where another begins or ends beside it."""
    start, expected = 0, None
    while start + 4 <= len(content):
        stop = start + _frame_size(content, start)
        if start < stop <= len(content) and (start == expected or _frame_size(content, stop)):
            yield start, stop
            start = expected = stop
        else:
            start = content.find(b"\xff", start + 1)
            if start < 0:
                return


def _layer(frame):
    return 4 - (frame[1] >> 1 & 3)


def _frame_size(content, start):
    """Return how many bytes the frame has that begins at a place, 0 if none does."""
    return _size_stated(bytes(content[start : start + 4]))


@functools.lru_cache(1024)
def _size_stated(header):
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, _layer(header)
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer not in (2, 3) or bitrate in (0, 15) or rate == 3:
        return 0
    samples = 576 if layer == 3 and version != 3 else 1152
    bits = 1000 * KILOBITS[version == 3, layer][bitrate - 1]
    return samples // 8 * bits // HERTZ[version][rate] + padding
