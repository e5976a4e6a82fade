"""Passes over audio files: their order, their random seeds, and what could not be read."""

import numbers
import os
import random
import warnings
from collections import defaultdict
from itertools import count

import numpy as np

from keras_asit.data.decode_audio import decode_audio

END = -1
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
        entries = tf.numpy_function(clips.begin_pass, [], tf.int64)
        return tf.ensure_shape(entries, [len(paths) + 1, 2])

    def decode(entry):
        waveform, path = tf.numpy_function(clips.decode, [entry], [tf.float32, tf.string])
        return tf.ensure_shape(waveform, [None]), tf.ensure_shape(path, []), entry

    def is_clip(waveform, _, entry):
        # Elements come here in order: at the end of a pass, all its files have been decoded.
        return tf.cond(
            entry[1] == END,
            lambda: tf.ensure_shape(tf.numpy_function(clips.end_pass, [entry], tf.bool), []),
            lambda: tf.size(waveform) > 0,
        )

    entries = tf.data.Dataset.range(1).map(begin).unbatch()
    decoded = entries.map(
        decode, num_parallel_calls=num_parallel_calls or tf.data.AUTOTUNE, deterministic=True
    )
    return decoded.filter(is_clip)


class _Clips:
    """What happens in Python during passes; tensors come and go as numpy arrays.

    An entry of a pass is the pass's random number and the index of a file, or `END`. The
    number tells passes apart, because several may be under way at once, and one that is broken
    off never ends; and with the index it is the seed of the clip.
    """

    def __init__(self, paths, sample_rate, shuffle, seed, at_least):
        self.paths = paths
        self.sample_rate = sample_rate
        self.shuffle = shuffle
        # From Python's generator, so that `keras.utils.set_random_seed` governs this too.
        self.seed = random.randrange(2**32) if seed is None else int(seed)
        self.at_least = at_least
        self.passes = count()
        self.failures = defaultdict(list)
        self.warned = set()

    def begin_pass(self):
        """Return the entries of a new pass."""
        generator = np.random.default_rng([self.seed, next(self.passes)])
        number = generator.integers(2**63)
        order = np.arange(len(self.paths))
        if self.shuffle:
            generator.shuffle(order)
        order = np.append(order, END)
        return np.stack([np.full_like(order, number), order], axis=1)

    def decode(self, entry):
        """Return waveform and path of a file; an empty waveform if there is none."""
        number, index = entry
        if index == END:
            return _NO_CLIP
        path = self.paths[index]
        try:
            return decode_audio(path, self.sample_rate), os.fsencode(path)
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "error_string", error)
            self.failures[int(number)].append((path, str(reason)))
            return _NO_CLIP

    def end_pass(self, entry):
        """Warn about the files that could not be read. Return False: an end is no clip."""
        failures = sorted(self.failures.pop(int(entry[0]), []))
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
        return np.False_


def check_seed(seed):
    """Raise `ValueError` unless `seed` is `None` or an integer of at least 0."""
    is_integer = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if seed is not None and not (is_integer and seed >= 0):
        raise ValueError(
            f"`seed` must be an integer of at least 0, or None for a random one. "
            f"Received: seed={seed!r}"
        )


def _describe(failures):
    named = "; ".join(f"{path} ({reason})" for path, reason in failures[:MAX_NAMED])
    return f"{named}; ..." if len(failures) > MAX_NAMED else named


_NO_CLIP = np.zeros(0, "float32"), b""
