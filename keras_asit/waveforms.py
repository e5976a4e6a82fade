"""Checks of waveforms, wherever they come in."""

import keras
import numpy as np

# Decoders overshoot 1 a little; integers that were only cast to float exceed it by far.
LARGEST_SAMPLE = 10.0


def as_waveforms(waveforms):
    """Return waveforms as float32, an array if they are of one length and a list otherwise.

    Args:
        waveforms: array or tensor of shape `(batch, samples)`, or a list of arrays of shape
            `(samples,)`; float, in [-1, 1].

    Returns:
        An array of shape `(batch, samples)`, or a list of arrays of shape `(samples,)`.

    Raises:
        ValueError: if they have another shape or type, or a clip of them is empty, not finite
            or out of range; the message has its index.
    """
    if isinstance(waveforms, (list, tuple)):
        clips = [_as_array(clip) for clip in waveforms]
    else:
        clips = _as_array(waveforms)
        if clips.ndim != 2:
            raise ValueError(
                "Waveforms must have shape (batch, samples), or be a list of arrays of shape "
                f"(samples,); mix channels down first. Received: shape={clips.shape}"
            )
    if not len(clips):
        raise ValueError("Waveforms must be of at least one clip. Received none.")
    clips = [as_waveform(clip, f"clip {index}") for index, clip in enumerate(clips)]
    same_length = len({len(clip) for clip in clips}) == 1
    return np.stack(clips) if same_length else clips


def as_waveform(waveform, name="`waveform`"):
    """Return one waveform as a float32 array of shape `(samples,)`, or raise `ValueError`."""
    waveform = _as_array(waveform)
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
    """Check waveforms in a graph of TensorFlow; return them as float32.

    Args:
        waveforms: symbolic tensor of shape `(batch, samples)` or `(samples,)`, or a ragged
            tensor of shape `(batch, None)`.

    Raises:
        ValueError: on tracing, for another rank or type. What only the values show is a
            `tf.errors.InvalidArgumentError` when they come.
    """
    import tensorflow as tf

    if len(waveforms.shape) not in (1, 2) or not waveforms.dtype.is_floating:
        raise ValueError(
            "Waveforms must be float, in [-1, 1], of shape (batch, samples). Received: "
            f"shape={tuple(waveforms.shape)}, dtype={waveforms.dtype.name}"
        )
    is_ragged = isinstance(waveforms, tf.RaggedTensor)
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


def _as_array(value):
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else np.asarray(value)
