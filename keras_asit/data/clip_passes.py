"""Passes over audio files: their order, their random seeds, and what could not be read."""

import numbers
import os
import random
import warnings
from collections import defaultdict
from itertools import count

import numpy as np

from keras_asit.data.decode_audio import decode_audio

MAX_NAMED = 10


def clip_passes(paths, sample_rate, shuffle, seed, num_parallel_calls, at_least=1):
    """Return a dataset whose every iteration is another pass over audio files.

    The first pass over a dataset of some seed is the same on every run, and so is the second,
    which differs from the first.

    Args:
        paths: list of strs. Audio files.
        sample_rate: int. Sample rate of the waveforms in Hz.
        shuffle: bool. Whether each pass has an order of its own.
        seed: int. `None` is a random one.
        num_parallel_calls: int. Number of files decoded at once; `None` lets `tf.data` choose.
        at_least: int. A pass with fewer readable files than this is an error.

    Returns:
        A `tf.data.Dataset` of `(waveform, path, seed)`. Seeds are int64, of shape `(2,)`; each
        file has another one in each pass.
    """
    import tensorflow as tf

    clips = _Clips(paths, sample_rate, shuffle, seed, at_least)

    def begin(_):
        number, seed, order = tf.numpy_function(clips.begin_pass, [], [tf.int64] * 3)
        return tf.ensure_shape(number, []), tf.ensure_shape(seed, []), order

    def run(number, seed, order):
        def decode(index):
            waveform, path = tf.numpy_function(
                clips.decode, [number, index], [tf.float32, tf.string]
            )
            return _with_shapes(waveform, path, tf.stack([seed, index]))

        def end(number):
            waveform, path = tf.numpy_function(clips.end_pass, [number], [tf.float32, tf.string])
            return _with_shapes(waveform, path, tf.stack([seed, number]))

        files = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, [len(paths)]))
        decoded = files.map(
            decode,
            num_parallel_calls=num_parallel_calls or tf.data.AUTOTUNE,
            deterministic=True,
        )
        ending = tf.data.Dataset.from_tensors(number).map(end)
        return decoded.concatenate(ending).filter(lambda waveform, *_: tf.size(waveform) > 0)

    return tf.data.Dataset.range(1).map(begin).flat_map(run)


def _with_shapes(waveform, path, seed):
    import tensorflow as tf

    return tf.ensure_shape(waveform, [None]), tf.ensure_shape(path, []), seed


class _Clips:
    """What happens in Python during passes; tensors come and go as numpy arrays.

    Passes are told apart by their numbers, because several may be under way at once, and one
    that is broken off never ends.
    """

    def __init__(self, paths, sample_rate, shuffle, seed, at_least):
        self.paths = paths
        self.sample_rate = sample_rate
        self.shuffle = shuffle
        # From Python's generator, so that `keras.utils.set_random_seed` governs this too.
        self.seed = random.randrange(2**32) if seed is None else int(seed)
        self.at_least = at_least
        self.numbers = count()
        self.failures = defaultdict(list)
        self.warned = set()

    def begin_pass(self):
        """Return the number of a new pass, its seed, and indices of files in its order."""
        number = next(self.numbers)
        generator = np.random.default_rng([self.seed, number])
        seed = generator.integers(2**63 - 1)
        indices = np.arange(len(self.paths))
        return np.int64(number), seed, generator.permutation(indices) if self.shuffle else indices

    def decode(self, number, index):
        """Return waveform and path of a file; an empty waveform if it cannot be read."""
        path = self.paths[index]
        try:
            waveform = decode_audio(path, self.sample_rate)
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "error_string", error)
            self.failures[int(number)].append((path, str(reason)))
            return _no_clip()
        return waveform, os.fsencode(path)

    def end_pass(self, number):
        """Warn about what could not be read; return an empty waveform, like `decode`."""
        failures = self.failures.pop(int(number), [])
        readable = len(self.paths) - len(failures)
        if readable < self.at_least:
            raise ValueError(
                f"Of {len(self.paths)} audio files, {readable} could be read; at least "
                f"{self.at_least} must be. Unreadable: {_describe(failures)}"
            )
        new = [failure for failure in failures if failure[0] not in self.warned]
        if new:
            self.warned.update(path for path, _ in new)
            warnings.warn(
                f"Skipped {len(new)} of {len(self.paths)} audio files: {_describe(new)}",
                stacklevel=1,
            )
        return _no_clip()


def check_seed(seed):
    """Raise `ValueError` unless `seed` is `None` or an integer of at least 0."""
    is_integer = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if seed is not None and not (is_integer and seed >= 0):
        raise ValueError(
            f"`seed` must be an integer of at least 0, or None for a random one. "
            f"Received: seed={seed!r}"
        )


def _no_clip():
    return np.zeros(0, "float32"), b""


def _describe(failures):
    named = "; ".join(f"{path} ({reason})" for path, reason in failures[:MAX_NAMED])
    return f"{named}; ..." if len(failures) > MAX_NAMED else named
