"""What is stored of an audio file, and how it is read back."""

import dataclasses
import functools
import io
import itertools
import os

import numpy as np
import tensorflow as tf

from keras_asit.data.decoding import read_waveform
from keras_asit.layers import LogMelFilterbank
from keras_asit.layers.log_mel_filterbank import FLOOR, PREEMPHASIS
from keras_asit.models.audio_converter import log_mel_moments

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
        is_encoded, front_end = self.content == "encoded", None
        if self.content == "log_mel":
            config = _filterbank(self.sample_rate, self.num_mels)[0].get_config()
            names = ("sample_rate", "num_mels", "window_seconds", "shift_seconds", "low_frequency")
            front_end = {name: config[name] for name in names}
            front_end |= {"floor": FLOOR, "preemphasis": PREEMPHASIS}
        return {
            "content": self.content,
            "sample_rate": None if is_encoded else self.sample_rate,
            "max_seconds": None if is_encoded else self.max_seconds,
            "front_end": front_end,
        }

    def examples(self, path, labels, moments):
        """Yield the serialized records of a file; add what log-mels it has to `moments`.

        Those are of the frames that lie wholly inside the piece, in single precision. A file that
        cannot be read raises one of `UNREADABLE`.
        """
        features = {"path": os.fsencode(path), "labels": labels}
        if self.content == "encoded":
            yield serialize_example({**features, "audio": _read_encoded(path)})
            return
        waveform = read_waveform(path, self.sample_rate)
        for start, piece in _cut(waveform, self.max_seconds * self.sample_rate):
            if self.content == "waveform":
                audio = np.clip(np.rint(piece * np.float32(32768)), -32768, 32767).astype("<i2")
            else:
                filterbank, log_mels_of = _filterbank(self.sample_rate, self.num_mels)
                log_mels = log_mels_of(_pad(piece, filterbank)).numpy()
                moments += log_mel_moments(log_mels[: filterbank.num_frames(len(piece))])
                audio = log_mels.astype("<f2")
            place = {"start": start, "samples": len(piece)}
            yield serialize_example({**features, **place, "audio": audio.tobytes()})


def serialize_example(features):
    """Return features (bytes, ints or lists of ints) as a `tf.train.Example`, always the same."""

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        values = [value] if isinstance(value, int) else value
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


def _pad(waveform, filterbank):
    """Return a waveform with zeros behind its end, so that a frame fits for each shift in it."""
    frames = -(-len(waveform) // filterbank.shift)
    samples = (frames - 1) * filterbank.shift + filterbank.window
    return np.pad(waveform, (0, max(0, samples - len(waveform))))[:samples]


@functools.lru_cache
def _filterbank(sample_rate, num_mels):
    """Return a filterbank, and it as one graph for waveforms of all lengths, under any backend."""
    filterbank = LogMelFilterbank(sample_rate, num_mels)
    return filterbank, tf.function(filterbank, [tf.TensorSpec([None], tf.float32)])
