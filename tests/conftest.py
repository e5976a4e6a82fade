"""What every test starts from: fixed seeds, numeric references, and audio files."""

import os
from pathlib import Path

# Tests compile much and compute little: without this, XLA takes five times as long to compile.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

import keras
import numpy as np
import pytest
import soundfile

GOLDEN = Path(__file__).parent / "golden"
DAMAGED_FORMS = {
    "pcm8.wav": {"subtype": "PCM_U8"},
    "pcm16.wav": {"subtype": "PCM_16"},
    "pcm24.wav": {"subtype": "PCM_24"},
    "float.wav": {"subtype": "FLOAT"},
    "a.flac": {},
    "a.ogg": {},
    "a.opus": {"format": "OGG", "subtype": "OPUS"},
    "a.mp3": {},
    "a.aiff": {},
}
HEADER = 64


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Make Python's, NumPy's and the backend's random numbers the same in every run."""
    keras.utils.set_random_seed(1)


@pytest.fixture
def eagerly():
    """Run what would be compiled: that takes longer than an example takes to run."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def golden_forward():
    """Inputs, activations and outputs of the reference model, by name."""
    return np.load(GOLDEN / "forward.npz")


@pytest.fixture
def golden_trajectory():
    """Six training steps of the reference model: batches, constants, losses, weights."""
    return np.load(GOLDEN / "trajectory.npz")


@pytest.fixture
def golden():
    """The folder of the numeric references."""
    return GOLDEN


@pytest.fixture
def write_noise(tmp_path):
    """Return a function that writes seeded noise to an audio file and returns its path."""

    def write(name, seconds=1.0, sample_rate=16000, channels=1, **kwargs):
        generator = np.random.default_rng(len(list(tmp_path.iterdir())))
        samples = generator.uniform(-0.5, 0.5, (round(seconds * sample_rate), channels))
        soundfile.write(tmp_path / name, samples, sample_rate, **kwargs)
        return tmp_path / name

    return write


@pytest.fixture
def bad_files(tmp_path, write_noise):
    """Return paths of files that cannot be used, with the reason as the warning gives it."""
    nonsense = tmp_path / "nonsense.wav"
    nonsense.write_bytes(b"no audio at all")
    cut = write_noise("cut.flac")
    cut.write_bytes(cut.read_bytes()[:10000])
    infinite = tmp_path / "infinite.wav"
    soundfile.write(infinite, np.full(100, np.inf), 16000, subtype="FLOAT")
    return {
        nonsense: "Format not recognised",
        cut: "flac decoder lost sync",
        infinite: "has samples that are not finite",
        write_noise("empty.wav", seconds=0): "has no samples",
    }


@pytest.fixture
def damaged_files(tmp_path):
    """Return a function that writes a number of damaged files and returns their paths."""

    def write(number):
        generator = np.random.default_rng(0)
        tone = np.sin(np.arange(12000) / 7) * generator.uniform(0, 0.9, (2, 12000))
        sound = []
        for name, form in DAMAGED_FORMS.items():
            soundfile.write(tmp_path / name, tone.T, 16000, **form)
            sound.append(tmp_path / name)
        paths = []
        for index in range(number):
            damage = (flip_bytes, cut, rewrite_header)[index % 3]
            source = sound[index % len(sound)] if index % 2 else generator.choice(sound)
            content = np.frombuffer(source.read_bytes(), "uint8").copy()
            paths.append(tmp_path / f"damaged{index:04}{source.suffix}")
            paths[-1].write_bytes(damage(content, generator).tobytes())
        return paths

    return write


def flip_bytes(content, generator):
    places = generator.integers(len(content), size=generator.integers(1, 200))
    content[places] = generator.integers(256, size=len(places))
    return content


def cut(content, generator):
    start, stop = np.sort(generator.integers(len(content), size=2))
    return content[:stop] if generator.random() < 0.7 else np.delete(content, slice(start, stop))


def rewrite_header(content, generator):
    places = generator.integers(HEADER, size=generator.integers(1, 8))
    content[places] = generator.choice([0, 1, 127, 128, 255], size=len(places))
    return content
