"""A small classifier of three classes of tones, and clips of them."""

import keras
import numpy as np

from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)

NAMES = ["cat", "dog", "cow"]
LABELS = [0, 1, 2, 0, 1, 2]


def build(raw=True, frames=32, dtype=None, **kwargs):
    """Return a compiled classifier of waveforms, or of spectrograms."""
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone(
        (frames, 32), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32, dtype=dtype
    )
    converter = ASiTAudioConverter(num_frames=frames, num_mels=32)
    preprocessor = ASiTAudioClassifierPreprocessor(converter) if raw else None
    return fast(ASiTAudioClassifier(backbone, 3, preprocessor, compile=False, **kwargs))


def fast(classifier, optimizer="auto"):
    """Compile without XLA where that is a choice: these tests compile much and compute little."""
    classifier.compile(optimizer, jit_compile=keras.config.backend() == "jax")
    return classifier


def tones(lengths=(6000, 4000, 3000, 7000, 6000, 5000)):
    """Return clips of different lengths, class by class of another pitch."""
    generator = np.random.default_rng(1)
    return [
        (
            0.3 * np.sin(2 * np.pi * (300, 1000, 3000)[index % 3] * np.arange(length) / 16000)
            + 0.01 * generator.normal(size=length)
        ).astype("float32")
        for index, length in enumerate(lengths)
    ]


def predict(classifier, x, **kwargs):
    return classifier.predict(x, verbose=0, **kwargs)
