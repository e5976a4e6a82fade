"""Whether an export gives what Keras gives, and how far it is off."""

import contextlib
from pathlib import Path

import keras
import numpy as np

from keras_asit.data.decoding import UNREADABLE, decode_audio
from keras_asit.data.sources import read_manifest

# Clips of the one batch that is not of a single clip.
BATCH_SIZE = 8


def read_sounds(recordings, converter):
    """Return what to compare on: waveforms, and the folders that they are in, or `None`.

    Without recordings, those are seeded tones in noise, from half a window to two windows long.
    """
    window = round(converter.seconds * converter.sample_rate)
    if recordings is None:
        generator = np.random.default_rng(0)
        sounds = []
        for length in (window, window // 2 + 1, 2 * window):
            tone = np.sin(np.cumsum(np.linspace(0.01, generator.uniform(0.1, 2), length)))
            noise = generator.normal(size=length) * 10 ** generator.uniform(-4, -1)
            sounds.append((0.5 * tone + noise).astype("float32"))
        folders = None
    else:
        sounds, folders = [], []
        for path in read_manifest(recordings):
            with contextlib.suppress(*UNREADABLE):
                length = {"max_seconds": 2 * converter.seconds}
                sounds.append(decode_audio(path, sample_rate=converter.sample_rate, **length))
                folders.append(Path(path).parent.name)
        if not sounds:
            raise ValueError("None of `recordings` could be read.")
    shortest = converter.filterbank.window
    return [np.pad(each, (0, max(0, shortest - len(each)))) for each in sounds], folders


def compare(network, exported, converter, sounds):
    """Return the outputs of Keras and of an export, two dicts, for each sound alone and a batch."""
    takes_waveforms = exported.metadata["input"] == "waveforms"
    window = round(converter.seconds * converter.sample_rate)
    batches = [sound[None] for sound in sounds]
    batches.append(np.stack([np.resize(sound, window) for sound in sounds[:BATCH_SIZE]]))
    expected, actual = [], []
    with _full_precision():
        for waveforms in batches:
            spectrograms = keras.ops.convert_to_numpy(converter(waveforms))
            expected.append(network.predict_on_batch(spectrograms))
            actual.append(exported(waveforms if takes_waveforms else spectrograms))
    return [
        {name: np.concatenate([outputs[name] for outputs in each]) for name in expected[0]}
        for each in (expected, actual)
    ]


def is_close(expected, actual, tolerance):
    """Return whether no output is off by more than the tolerance, of its largest value if over 1.

    Where a recording has next to no sound but in a few bins, the logarithm shows how libraries
    round their Fourier transforms, and outputs differ as much from those of exact arithmetic.
    """
    return all(
        np.max(np.abs(actual[name] - values)) <= tolerance * max(1, np.max(np.abs(values)))
        for name, values in expected.items()
    )


def differences(kind, expected, actual):
    """Return how far outputs are off, as `keras_asit.export` reports it."""
    off = {name: actual[name] - expected[name] for name in expected}
    norms = {name: np.linalg.norm(off[name]) / np.linalg.norm(expected[name]) for name in off}
    report = {
        "difference": float(max(np.max(np.abs(each)) for each in off.values())),
        "relative_difference": float(max(norms.values())),
    }
    if kind != "backbone":
        alike = [
            np.ravel(_decisions(kind, name, expected[name]) == _decisions(kind, name, actual[name]))
            for name in expected
        ]
        report["agreement"] = float(np.concatenate(alike).mean())
    return report


def accuracies(expected, actual, folders, class_names):
    """Return the accuracy of Keras and of an export where folders of recordings are classes."""
    if not folders or not class_names or not set(folders) <= set(class_names):
        return {}
    labels = [class_names.index(folder) for folder in folders]
    shares = [
        float(np.mean(np.argmax(next(iter(each.values()))[: len(labels)], axis=-1) == labels))
        for each in (expected, actual)
    ]
    return {"keras_accuracy": shares[0], "accuracy": shares[1]}


def _decisions(kind, name, outputs):
    if kind == "classifier" and outputs.shape[-1] > 1:
        return np.argmax(outputs, axis=-1)
    return outputs > (0.5 if name == "probabilities" else 0)


@contextlib.contextmanager
def _full_precision():
    """Let Keras and TensorFlow compute in float32 on GPUs too, which may round inputs."""
    import tensorflow as tf

    setting = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    backend = keras.config.backend()
    try:
        if backend == "jax":
            import jax

            with jax.default_matmul_precision("highest"):
                yield
        elif backend == "torch":
            import torch

            with torch.backends.cudnn.flags(enabled=False):
                yield
        else:
            yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(setting)
