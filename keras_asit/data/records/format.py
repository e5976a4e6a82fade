"""What is stored of an audio file, and how it is read back."""

import dataclasses
import functools
import io
import itertools

import numpy as np

from keras_asit.data.decoding import read_waveform
from keras_asit.layers import LogMelFilterbank
from keras_asit.layers.log_mel_filterbank import FLOOR, PREEMPHASIS

CONTENTS = ("encoded", "waveform", "log_mel")
# A record is a protocol buffer, and those end at 2 GiB.
LARGEST_FILE = 2**31 - 2**20
# In seconds: less is no recording, and at a lower sample rate not even a sample long.
SHORTEST = 0.001


@dataclasses.dataclass(frozen=True)
class RecordFormat:
    """How records are made; those of two equal formats can be read alike.

    Every record is a `tf.train.Example` with the features `path` and `labels`, the indices of
    classes, and

    - `"encoded"`: `audio`, the file as it is;
    - `"waveform"`: `audio`, 16-bit little-endian samples, `start` and `samples`, where the
      piece begins in the waveform and how long it is;
    - `"log_mel"`: the same, but `audio` is the piece's log-mels in half precision, a frame every
      shift that begins in the piece: the last frames reach over its end, into zeros.
    """

    content: str
    sample_rate: int
    num_mels: int
    max_seconds: float

    def parameters(self):
        """Return what records depend on, as it stands in their index."""
        encoded = self.content == "encoded"
        return {
            "content": self.content,
            "sample_rate": None if encoded else self.sample_rate,
            "max_seconds": None if encoded else self.max_seconds,
            "front_end": self.front_end() if self.content == "log_mel" else None,
        }

    def front_end(self):
        """Return every parameter of the filterbank."""
        config = self.filterbank.get_config()
        names = ("sample_rate", "num_mels", "window_seconds", "shift_seconds", "low_frequency")
        constants = {"floor": FLOOR, "preemphasis": PREEMPHASIS}
        return {**{name: config[name] for name in names}, **constants}

    @property
    def filterbank(self):
        """The layer that makes log-mels of waveforms."""
        return _filterbank(self.sample_rate, self.num_mels)

    def contents(self, path):
        """Yield the features of each record of a file, and its frames if it is of log-mels.

        Those are the frames that lie wholly inside the piece, in single precision.

        Raises:
            OSError, RuntimeError, ValueError: If the file cannot be read.
        """
        if self.content == "encoded":
            yield {"audio": _read_encoded(path)}, None
            return
        waveform = read_waveform(path, self.sample_rate)
        for start, piece in _cut(waveform, self.max_seconds * self.sample_rate):
            place = {"start": start, "samples": len(piece)}
            if self.content == "waveform":
                yield {"audio": _as_int16(piece).tobytes(), **place}, None
            else:
                log_mels = self._log_mels(piece)
                features = {"audio": log_mels.astype("<f2").tobytes(), **place}
                yield features, log_mels[: self.filterbank.num_frames(len(piece))]

    def _log_mels(self, waveform):
        """Return a frame for every shift that begins in the waveform, zeros behind its end."""
        filterbank = self.filterbank
        frames = -(-len(waveform) // filterbank.shift)
        samples = (frames - 1) * filterbank.shift + filterbank.window
        padded = np.pad(waveform, (0, max(0, samples - len(waveform))))[:samples]
        return _log_mel_function(filterbank)(padded).numpy()


def serialize_example(features):
    """Return features (bytes, ints or lists of ints) as a `tf.train.Example`, always the same."""
    import tensorflow as tf

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        values = value if isinstance(value, (list, tuple)) else [value]
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {name: feature(value) for name, value in features.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _read_encoded(path):
    """Return the bytes of an audio file that can be decoded."""
    import soundfile

    with open(path, "rb") as file:
        content = file.read()
    if len(content) > LARGEST_FILE:
        raise ValueError("is larger than 2 GiB, which a record cannot hold; split it")
    sample_rate = soundfile.info(io.BytesIO(content)).samplerate
    if len(read_waveform(io.BytesIO(content), sample_rate)) < SHORTEST * sample_rate:
        raise ValueError("is shorter than a millisecond, which is no recording")
    return content


def _cut(waveform, longest):
    """Yield (start, piece): as few pieces as possible, of the same length but for a sample."""
    number = max(1, int(np.ceil(len(waveform) / longest)))
    bounds = [len(waveform) * index // number for index in range(number + 1)]
    for start, stop in itertools.pairwise(bounds):
        yield start, waveform[start:stop]


def _as_int16(waveform):
    return np.clip(np.rint(waveform * np.float32(32768)), -32768, 32767).astype("<i2")


@functools.lru_cache
def _filterbank(sample_rate, num_mels):
    return LogMelFilterbank(sample_rate, num_mels)


@functools.lru_cache
def _log_mel_function(filterbank):
    """Return the filterbank as one graph for waveforms of all lengths, under any backend."""
    import tensorflow as tf

    return tf.function(filterbank, [tf.TensorSpec([None], tf.float32)])
