"""What a folder of records holds: its files, written atomically, and what is in a record."""

import dataclasses
import functools
import hashlib
import io
import itertools
import json
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_asit._arguments import name_some
from keras_asit._files import PARTIAL, write_whole
from keras_asit.data.decoding import read_waveform
from keras_asit.layers import LogMelFilterbank
from keras_asit.layers.log_mel_filterbank import (
    FLOOR,
    LOW_FREQUENCY,
    PREEMPHASIS,
    SHIFT_SECONDS,
    WINDOW_SECONDS,
)
from keras_asit.models.audio_converter import log_mel_moments

INDEX = "index.json"
PARAMETERS = "parameters.json"
PLAN = "plan.jsonl"
CONTENTS = ("encoded", "waveform", "log_mel")
# A record is a protocol buffer, and those end at 2 GiB.
LARGEST_FILE = 2**31 - 2**20
# In seconds: less is no recording, and at a lower sample rate not even a sample long.
SHORTEST = 0.001


def begin_folder(folder, parameters, plan):
    """Claim a folder for `parameters`, or raise `ValueError` if it is of other ones.

    - `parameters.json` comes first: with what the folder was begun.
    - `plan.jsonl`: a line a shard, with the files that it is made of.
    - `clips-00000-of-00012.tfrecord`, ...: the shards. After each of them
    - `clips-00000-of-00012.json`: its summary, by which a later run knows that it is whole.
    - `index.json` comes last; readers need it and the shards alone.
    """
    lines = "".join(f"{line}\n" for line in plan).encode()
    parameters = {**parameters, "plan_sha256": hashlib.sha256(lines).hexdigest()}
    path = folder / PARAMETERS
    try:
        present = json.loads(path.read_bytes()) if path.exists() else parameters
    except ValueError as error:
        raise ValueError(f"{path} is damaged, delete it: {error}") from None
    different = [name for name in parameters if present.get(name) != parameters[name]]
    if different:
        raise ValueError(
            f"{folder} holds records that were made otherwise ({', '.join(different)} "
            f"differ, see {PARAMETERS} there); give another folder, or delete this one."
        )
    for name in ("clips-*-of-*.tfrecord", "clips-*-of-*.json", INDEX, PARAMETERS, PLAN):
        # What an attempt that was broken off leaves, and nothing of the user's.
        for leftover in folder.glob(f".{name}.{'[0-9a-f]' * 32}{PARTIAL}"):
            leftover.unlink()
    write_whole(path, as_json(parameters))
    write_whole(folder / PLAN, lines)


def as_json(content):
    """Return JSON as bytes, always the same for the same content."""
    return (json.dumps(content, indent=1) + "\n").encode()


def absolute(folder):
    return Path(folder).expanduser().absolute()


def holds_records(source: str | os.PathLike) -> bool:
    """Return whether a source is a folder of records, whether or not their writing was finished.

    Args:
        source: what `keras_asit.data.pretraining_dataset` takes.

    Example:
    ```python
    keras_asit.data.holds_records("recordings")  # False
    ```
    """
    if not isinstance(source, (str, os.PathLike)) or not os.fspath(source):
        return False
    # Records have a plan from the beginning; of a copy, the index and the shards are enough.
    return any(any(absolute(source).glob(pattern)) for pattern in (PLAN, "clips-*.tfrecord"))


def read_record_index(folder: str | os.PathLike) -> dict:
    """Return the index of a folder of records, once all its shards are found to be there.

    Args:
        folder: str or `os.PathLike`. A folder that `keras_asit.data.write_records` has written.

    Returns:
        A dict: `content`, `sample_rate`, `max_seconds`, `class_names`, `multi_label` (whether any
        file has not exactly one label), the numbers `files` and `records`; of log-mels `mean`,
        `standard_deviation` and `front_end`, all parameters of the filterbank; `shards`, dicts of
        `name`, `files`, `records`, `bytes` and `sha256`; `skipped`, dicts of `path` and `reason`.

    Raises:
        ValueError: If the folder has no index, which is written last, or a shard is missing or
            of another size.

    Example:
    ```python
    index = keras_asit.data.read_record_index("records")
    print(index["records"], "records of", index["content"])
    ```
    """
    folder = absolute(folder)
    path = folder / INDEX
    try:
        index = json.loads(path.read_bytes())
        sizes = {folder / shard["name"]: shard["bytes"] for shard in index["shards"]}
        index["content"], index["multi_label"]  # Of another version, an index lacks some.
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no {INDEX}: it holds no records, or their writing was not finished; "
            "call `write_records` again."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged; call `write_records` again. {error!r}") from None
    present = {shard: shard.stat().st_size for shard in sizes if shard.exists()}
    wrong = {
        "are missing": [shard for shard in sizes if shard not in present],
        "have another size": [shard for shard in present if present[shard] != sizes[shard]],
    }
    problems = [
        f"{len(shards)} of {len(sizes)} shards {what}: {name_some(shards)}"
        for what, shards in wrong.items()
        if shards
    ]
    if problems:
        raise ValueError(f"{'; '.join(problems)}. Call `write_records` again to repair them.")
    return index


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
            front_end = {
                "sample_rate": self.sample_rate,
                "num_mels": self.num_mels,
                "window_seconds": WINDOW_SECONDS,
                "shift_seconds": SHIFT_SECONDS,
                "low_frequency": LOW_FREQUENCY,
                "floor": FLOOR,
                "preemphasis": PREEMPHASIS,
            }
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
