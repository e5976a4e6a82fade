"""The features that `features.py` compares: averages of spectrograms, ASiT's, and those of peers.

They are kept in a cache by the content of the recordings and the configuration and weights of what
computes them. It does not see code: delete it when that has changed.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable
from functools import cache

import keras
import numpy as np
from feature_peers import PEERS, SAMPLE_RATE, find_peer, padded

from keras_asit._files import replacing
from keras_asit.data import decode_audio
from keras_asit.evaluation import predict_recordings
from keras_asit.layers import LogMelFilterbank
from keras_asit.models import ASiTAudioConverter, ASiTBackbone

# The untrained network that is measured where there is no preset.
SMALL = {
    "spectrogram_shape": (96, 128),
    "num_layers": 6,
    "num_heads": 4,
    "hidden_dim": 128,
    "mlp_dim": 512,
}
SEGMENTS = 8


@dataclasses.dataclass(frozen=True)
class Features:
    """A name, a function from paths and a seed to an array, and what tells it from all others.

    `seeded`: whether the seed matters.
    """

    name: str
    embed: Callable
    fingerprint: str
    seeded: bool = False


def averages():
    """Return the features that take no network: statistics of all frames that a clip has."""
    return [
        of_waveforms(function.__doc__, lambda wave, function=function: function(log_mels(wave)))
        for function in (time_mean, mean_and_deviation, segment_means)
    ]


def time_mean(frames):
    """mean of log-mels"""
    return frames.mean(axis=0)


def mean_and_deviation(frames):
    """mean and deviation"""
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


def segment_means(frames):
    """eight segments"""
    edges = np.linspace(0, len(frames), SEGMENTS + 1)
    # A segment of a clip of fewer frames than segments is the frame that it begins in.
    slices = [slice(int(a), max(int(a) + 1, int(b))) for a, b in itertools.pairwise(edges)]
    return np.concatenate([frames[part].mean(axis=0) for part in slices])


@cache
def filterbank():
    return LogMelFilterbank(SAMPLE_RATE)


def log_mels(waveform):
    return keras.ops.convert_to_numpy(filterbank()(padded(waveform, filterbank().window)))


def peers(folder):
    """Return features of the peers that are there, and of the others why they are not."""
    found, missing = [], {}
    for name in PEERS:
        try:
            peer, contents = find_peer(name, folder)
        except (ImportError, OSError, ValueError) as error:
            missing[name] = str(error)
        else:
            found.append(of_waveforms(name, peer, contents))
    return found, missing


def of_waveforms(name, function, contents=""):
    """Return features that a function makes of each waveform on its own."""

    def embed(paths, seed):
        return np.stack([function(decode_audio(path, sample_rate=SAMPLE_RATE)) for path in paths])

    return Features(name, embed, name + contents)


def asit(preset, **pooling):
    """Return the features of a preset, and of the same network with weights at random.

    `pooling`: arguments of `ASiTBackbone.feature_model`.
    """
    backbone = ASiTBackbone.from_preset(preset)
    frames, mels = backbone.spectrogram_shape
    converter = ASiTAudioConverter.from_preset(preset, num_frames=frames, num_mels=mels)
    model = backbone.feature_model(**pooling)
    fingerprint = digest(describe(backbone, converter, pooling), *backbone.get_weights())
    return [
        untrained(backbone, converter, f"{preset}, untrained", **pooling),
        Features(preset, lambda paths, seed: embed_clips(model, converter, paths), fingerprint),
    ]


def small_untrained(**pooling):
    """Return the features of a small network with weights at random."""
    frames, mels = SMALL["spectrogram_shape"]
    converter = ASiTAudioConverter(num_frames=frames, num_mels=mels)
    return untrained(ASiTBackbone(**SMALL), converter, "ASiT, untrained", **pooling)


def untrained(backbone, converter, name, **pooling):
    """Return the features of a network like `backbone` whose weights are drawn with the seed."""

    @cache
    def model(seed):
        keras.utils.set_random_seed(seed)
        return ASiTBackbone.from_config(backbone.get_config()).feature_model(**pooling)

    def embed(paths, seed):
        return embed_clips(model(seed), converter, paths)

    return Features(name, embed, describe(backbone, converter, pooling), seeded=True)


def embed_clips(model, converter, paths):
    options = {"pad_with_silence": True, "at_least": len(paths)}
    return predict_recordings(model, paths, converter=converter, **options)[0]


def describe(backbone, converter, pooling):
    """Return what features depend on, besides weights, as a str."""
    configs = [part.get_config() for part in (backbone, converter)]
    for config in configs:
        config.pop("name")
    return json.dumps([pooling, *configs], default=str, sort_keys=True)


def embed(features, task, seed, cache):
    """Return the features of all clips of a task, of shape `(clips, width)`."""
    seed = seed if features.seeded else None
    key = (features.fingerprint, seed, task.contents)
    return cache.get(lambda: features.embed(task.paths, seed), *key)


class Cache:
    """Arrays in a folder, each by what it was computed from."""

    def __init__(self, folder):
        self.folder = folder

    def get(self, compute, *key):
        """Return the array of a key, computed unless it is there."""
        path = self.folder / f"{digest(*key)}.npy"
        if not path.exists():
            values = compute()
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, values)
        return np.load(path)


def digest(*parts):
    """Return a hash of arrays and of whatever else has a `repr` of its own."""
    total = hashlib.sha256()
    for part in parts:
        array = isinstance(part, np.ndarray)
        total.update(np.ascontiguousarray(part).tobytes() if array else repr(part).encode())
    return total.hexdigest()
