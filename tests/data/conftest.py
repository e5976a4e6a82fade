"""Audio files to test with."""

import numpy as np
import pytest
import soundfile


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
