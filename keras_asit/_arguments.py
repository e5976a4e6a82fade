"""Checks of public arguments and of waveforms, so that one mistake reads the same everywhere."""

import inspect
import math
import numbers
import random

import keras
import numpy as np


def check_integers(low, *, or_none=False, **arguments):
    """Raise `ValueError` unless each argument is an integer of at least `low`."""
    accepted = "a positive integer" if low == 1 else f"an integer of at least {low}"
    accepted += " or None" if or_none else ""
    for name, value in arguments.items():
        is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not (is_integer and value >= low) and not (or_none and value is None):
            raise ValueError(f"`{name}` must be {accepted}. Received: {name}={value!r}")


def check_number(name, value, low=None, high=None):
    """Raise `ValueError` unless `value` is a finite real number in [`low`, `high`]."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    is_number = is_number and math.isfinite(value) and (low is None or value >= low)
    if not is_number or (high is not None and value > high):
        at_least = "" if low is None else f" of at least {low}"
        accepted = at_least if high is None else f" between {low} and {high}"
        raise ValueError(f"`{name}` must be a number{accepted}. Received: {name}={value!r}")


def check_choice(name, value, choices):
    """Raise `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        accepted = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {accepted}. Received: {name}={value!r}")


def check_instance(name, value, kind):
    """Raise `ValueError` unless `value` is an instance of the class `kind`."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ValueError(
            f"`{name}` must be {article} {kind.__name__}. Received: {type(value).__name__}"
        )


def check_known(name, arguments, known):
    """Raise `ValueError` if the dict `arguments` has any that are not `known` to class `name`."""
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ValueError(
            f"{name} has no arguments {', '.join(map(repr, unknown))}. Besides those that its "
            f"documentation lists it takes {', '.join(map(repr, known))}."
        )


def check_shape(name, shape, layout):
    """Raise `ValueError` unless `shape` has as many sides as `layout`, as in `"(batch, mels)"`."""
    if len(shape) != layout.count(",") + 1:
        raise ValueError(f"{name} must have shape {layout}. Received: shape={tuple(shape)}")


def as_seed(seed):
    """Return `seed`, `None` or an integer of at least 0, as an int of Python, or `None`."""
    check_integers(0, or_none=True, seed=seed)
    return None if seed is None else int(seed)


def draw_seed(seed):
    """Return `seed` as an int; for `None`, one that `keras.utils.set_random_seed` governs."""
    return random.randrange(2**31) if seed is None else as_seed(seed)


def as_pair(name, value):
    """Return `value`, a positive integer or two of them, as a tuple of two."""
    pair = (value, value) if isinstance(value, numbers.Integral) else value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"`{name}` must be an integer or a pair of integers (along time, along mel). "
            f"Received: {name}={value!r}"
        )
    for side in pair:
        check_integers(1, **{name: side})
    return tuple(int(side) for side in pair)


def name_some(items, most=5, *, separator=", "):
    """Return the first `most` of some items as text for a message, "..." standing for the rest."""
    items = [str(item) for item in items]
    named = items[:most] + ["..."] * (len(items) > most)
    # A file's name need not be UTF-8, but what cannot be printed would hide the message.
    return separator.join(named).encode("utf-8", "backslashreplace").decode()


def arguments_of(kind, instance):
    """Return the arguments of class `kind`, which `instance` keeps by their names: its config."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    names = [parameter.name for parameter in parameters if parameter.kind != parameter.VAR_KEYWORD]
    return {name: getattr(instance, name) for name in names}


# Decoders overshoot 1 a little; integers that were only cast to float exceed it by far.
LARGEST_SAMPLE = 10.0
# No clips are so short, but channels so few.
MOST_CHANNELS = 8


def as_waveforms(waveforms):
    """Return waveforms as float32, an array if they are of one length and a list otherwise.

    They are an array or tensor of shape `(batch, samples)`, a list of arrays of shape `(samples,)`
    or a ragged tensor. Channels, which come last in an array, are mixed down. `ValueError` has the
    index of a clip that is none.
    """
    if isinstance(waveforms, (list, tuple)) or hasattr(waveforms, "row_lengths"):
        clips = [as_array(clip) for clip in waveforms]
    else:
        clips = as_array(waveforms)
        check_clips_shape(clips.shape)
        if clips.ndim == 3 and clips.shape[2] <= max(1, clips.shape[1]):
            # Integers stay such, to be refused.
            clips = clips.mean(axis=2, dtype=clips.dtype)
        if clips.ndim != 2:
            raise ValueError(
                "Waveforms must have shape (batch, samples) or (batch, samples, channels), or be a "
                f"list of arrays of shape (samples,). Received: shape={clips.shape}"
            )
    if not len(clips):
        raise ValueError("Waveforms must be of at least one clip. Received none.")
    clips = [as_waveform(clip, f"clip {index}") for index, clip in enumerate(clips)]
    same_length = len({len(clip) for clip in clips}) == 1
    return np.stack(clips) if same_length else clips


def check_clips_shape(shape):
    """Raise `ValueError` if what should be clips is one waveform with channels behind samples."""
    known = len(shape) == 2 and None not in shape
    if known and 0 < shape[1] <= MOST_CHANNELS < shape[0]:
        raise ValueError(
            "An array of shape (samples, channels) is one waveform: mix its channels down, by the "
            f"mean of axis 1. Received: shape={tuple(shape)}"
        )


def as_waveform(waveform, name="`waveform`"):
    """Return one waveform as a float32 array of shape `(samples,)`, or raise `ValueError`."""
    waveform = as_array(waveform)
    if waveform.ndim != 1:
        raise ValueError(
            f"A waveform must have shape (samples,); mix channels down. Received: {name} of "
            f"shape {waveform.shape}"
        )
    if not np.issubdtype(waveform.dtype, np.floating) and waveform.dtype.name != "bfloat16":
        raise ValueError(
            "A waveform must be float, in [-1, 1]; divide 16-bit integers by 32768. Received: "
            f"{name} of type {waveform.dtype}"
        )
    if not len(waveform):
        raise ValueError(f"A waveform must have at least one sample. Received: {name} is empty")
    waveform = waveform.astype("float32", copy=False)
    finite = np.isfinite(waveform)
    if not finite.all():
        index = int(np.argmin(finite))
        raise ValueError(
            f"A waveform must be finite. Received: sample {index} of {name} is {waveform[index]}"
        )
    peak = np.max(np.abs(waveform))
    if peak > LARGEST_SAMPLE:
        raise ValueError(
            "A waveform must be in [-1, 1]; divide 16-bit integers by 32768. Received: "
            f"{name} with a peak of {peak:g}"
        )
    return waveform


def assert_waveforms(waveforms):
    """Check waveforms, dense or ragged, in a graph of TensorFlow; return them as float32.

    What only the values show is a `tf.errors.InvalidArgumentError` when they come.
    """
    import tensorflow as tf

    if waveforms.shape.rank not in (2, 3) or not waveforms.dtype.is_floating:
        raise ValueError(
            "A dataset of waveforms must be of batches of known rank, (batch, samples) or (batch, "
            "samples, channels), for which call its `batch`, and float, in [-1, 1]. Received: "
            f"shape={waveforms.shape}, dtype={waveforms.dtype.name}"
        )
    is_ragged = isinstance(waveforms, tf.RaggedTensor)
    if waveforms.shape.rank == 3:
        if not is_ragged:
            samples, channels = tf.unstack(tf.shape(waveforms)[1:])
            last = "Channels of waveforms come last, (batch, samples, channels)."
            tf.debugging.assert_less_equal(channels, tf.maximum(1, samples), message=last)
        waveforms = tf.reduce_mean(waveforms, axis=2)
    samples = waveforms.flat_values if is_ragged else waveforms
    shortest = tf.reduce_min(waveforms.row_lengths()) if is_ragged else tf.shape(waveforms)[-1]
    # A comparison with NaN is false, so that the first of these finds it too.
    checks = [
        tf.debugging.assert_less_equal(
            tf.abs(samples),
            tf.cast(LARGEST_SAMPLE, samples.dtype),
            message="Waveforms must be finite and in [-1, 1]; divide 16-bit integers by 32768.",
            summarize=3,
        ),
        tf.debugging.assert_positive(
            shortest, message="Every waveform must have at least one sample."
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.cast(waveforms, tf.float32)


def is_symbolic(value):
    """Return whether `value` is a tensor of a graph of TensorFlow, as in `tf.data`."""
    import tensorflow as tf

    return isinstance(value, (tf.Tensor, tf.RaggedTensor)) and not tf.executing_eagerly()


def as_array(value):
    """Return a tensor of the backend, or anything that NumPy takes, as an array."""
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else np.asarray(value)
