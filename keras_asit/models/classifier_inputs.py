"""What comes into a classifier, checked before it trains or predicts."""

import keras
import numpy as np

from keras_asit._arguments import as_waveforms


def is_array(x):
    """Return whether `x` is clips at hand: an array, a tensor, or a list of arrays."""
    has_shape = hasattr(x, "__array__") and hasattr(x, "shape")
    return isinstance(x, (list, tuple)) or has_shape or hasattr(x, "row_lengths")


def check_dataset_alone(x, y, sample_weight, batch_size):
    """Raise `ValueError` unless `x` is a dataset and nothing that it holds is given besides it."""
    import tensorflow as tf

    if not isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset)):
        raise ValueError(
            "`x` must be an array or a list of clips, or a tf.data.Dataset of batches; "
            "tf.data.Dataset.from_generator makes one of a generator. Received: "
            f"x={type(x).__name__}"
        )
    given = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"A dataset of batches brings its own `{name}`; leave that out. Received: "
                f"x={type(x).__name__}, {name}={type(value).__name__}"
            )


def as_waveform_input(x):
    """Return waveforms as an array, or as a `tf.RaggedTensor` if their lengths differ.

    Raises:
        ValueError: As `as_waveforms`; the message has the index of the clip.
    """
    import tensorflow as tf

    waveforms = as_waveforms(list(x) if isinstance(x, (tf.RaggedTensor, tuple)) else x)
    if isinstance(waveforms, np.ndarray):
        return waveforms
    lengths = [len(waveform) for waveform in waveforms]
    return tf.RaggedTensor.from_row_lengths(np.concatenate(waveforms), lengths)


def as_spectrogram_input(x, shape):
    """Return spectrograms as an array of shape `(batch, *shape)`.

    Raises:
        ValueError: for another shape, or values that are not finite.
    """
    spectrograms = np.asarray(keras.ops.convert_to_numpy(x), "float32")
    if spectrograms.shape[1:] != tuple(shape):
        raise ValueError(
            "Without a preprocessor, inputs are spectrograms of shape (batch, "
            f"{shape[0]}, {shape[1]}). Received: shape={spectrograms.shape}"
        )
    finite = np.isfinite(spectrograms).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(
            f"Spectrograms must be finite. Clip {int(np.argmin(finite))} has values that are not."
        )
    return spectrograms


def as_dataset(x, y=None, sample_weight=None, batch_size=None, shuffle=False):
    """Return a `tf.data.Dataset` of batches of arrays, shuffled anew in each pass.

    Raises:
        ValueError: if they are not of the same number of clips.
    """
    import tensorflow as tf

    parts = (x, y, None if sample_weight is None else np.asarray(sample_weight, "float32"))
    number = int(x.shape[0])
    for name, part in zip(("y", "sample_weight"), parts[1:]):
        if part is not None and len(part) != number:
            raise ValueError(
                f"`{name}` must be of {number} clips, as `x` is. Received: {len(part)}"
            )
    indices = tf.data.Dataset.range(number)
    if shuffle:
        indices = indices.shuffle(number, reshuffle_each_iteration=True)
    # As tensors: TensorFlow would write arrays into the graph, which holds 2 GB at most.
    parts = (part if part is None or tf.is_tensor(part) else tf.constant(part) for part in parts)
    data = keras.utils.pack_x_y_sample_weight(*parts)
    return indices.batch(batch_size or 32).map(
        lambda batch: tf.nest.map_structure(lambda part: tf.gather(part, batch), data)
    )


def split_clips(x, y, sample_weight, share):
    """Return the first `share` of the clips, and the others, as `keras.Model.fit` splits them."""
    if not is_array(x) or y is None:
        raise ValueError(
            "`validation_split` needs clips and labels at hand; give `validation_data` instead. "
            f"Received: x={type(x).__name__}, y={type(y).__name__}"
        )
    stop = int(len(y) * share)
    if not 0 < stop < len(y):
        raise ValueError(
            f"`validation_split` leaves no clip of {len(y)} on one side. "
            f"Received: validation_split={1 - share:g}"
        )
    parts = (x, y, sample_weight)
    first = tuple(None if part is None else part[:stop] for part in parts)
    return first, tuple(None if part is None else part[stop:] for part in parts)


def as_labels(y, num_classes, class_names, multi_label):
    """Return labels as an array of class indices or, with a column a class, of shares.

    Raises:
        ValueError: for a name that is no class, an index or a share out of range, or another
            shape; the message has the index of the clip.
    """
    labels = _as_array(y)
    if labels.dtype.kind == "U" and not multi_label:
        labels = _look_up(labels.reshape(len(labels)), class_names)
    if (labels.ndim == 2 and labels.shape[1] == num_classes and num_classes > 1) or multi_label:
        return _check_shares(labels, num_classes)
    if labels.ndim not in (1, 2) or (labels.ndim == 2 and labels.shape[1] != 1):
        raise ValueError(
            "Labels must be class indices of shape (batch,), or of shape (batch, "
            f"{num_classes}). Received: shape={labels.shape}"
        )
    indices = labels.reshape(len(labels))
    wrong = (indices < 0) | (indices >= num_classes) | (indices != np.floor(indices))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise ValueError(
            f"Labels must be integers from 0 to {num_classes - 1}. Received: {indices[index]} "
            f"for clip {index}"
        )
    return indices.astype("int32")


def assert_batch(x, are_waveforms):
    """Check in a graph of TensorFlow that `x` is a batch of clips, and return it.

    Raises:
        ValueError: on tracing, for another shape. Spectrograms that are not finite are a
            `tf.errors.InvalidArgumentError` when they come.
    """
    import tensorflow as tf

    layout = "(batch, samples)" if are_waveforms else "(batch, frames, mels)"
    if x.shape.rank != layout.count(",") + 1:
        raise ValueError(
            f"A dataset must be of batches of known rank, {layout}; call its `batch`. Received: "
            f"shape={x.shape}"
        )
    if are_waveforms:
        return x
    return tf.debugging.assert_all_finite(x, "Spectrograms must be finite.")


def assert_labels(y, num_classes, class_names, multi_label):
    """Check labels in a graph of TensorFlow, and return them.

    Raises:
        ValueError: on tracing, for another shape. Labels out of range are a
            `tf.errors.InvalidArgumentError` when they come.
    """
    import tensorflow as tf

    if y.dtype == tf.string:
        raise ValueError(
            "In a dataset, labels must be class indices; map names to them first. "
            f"The classes: {class_names}"
        )
    shares = multi_label or (len(y.shape) == 2 and y.shape[1] == num_classes and num_classes > 1)
    if shares and (len(y.shape) != 2 or y.shape[1] != num_classes):
        raise ValueError(
            f"Labels must have shape (batch, {num_classes}). Received: shape={tuple(y.shape)}"
        )
    largest = 1 if shares else num_classes - 1
    message = f"Labels must be from 0 to {largest}."
    low, high = (tf.cast(value, y.dtype) for value in (0, largest))
    checks = [
        tf.debugging.assert_greater_equal(y, low, message),
        tf.debugging.assert_less_equal(y, high, message),
    ]
    if y.dtype.is_floating and not shares:
        checks.append(tf.debugging.assert_equal(y, tf.floor(y), "Labels must be integers."))
    with tf.control_dependencies(checks):
        return tf.identity(y)


def _as_array(y):
    """Return labels as an array; names of any kind as one of `str`."""
    if keras.ops.is_tensor(y):
        y = keras.ops.convert_to_numpy(y)
    elif hasattr(y, "numpy"):
        y = y.numpy()
    try:
        labels = np.asarray(y)
    except ValueError as error:
        raise ValueError(
            "Labels must be one a clip, or a column a class. Received: lists of several lengths"
        ) from error
    if labels.dtype.kind == "S" or labels.dtype == object:
        names = [name.decode() if isinstance(name, bytes) else name for name in labels.flat]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(
                "Labels must be numbers or names. Received: an array of objects, the first of "
                f"them {labels.flat[0]!r}"
            )
        labels = np.asarray(names).reshape(labels.shape)
    return labels


def _look_up(names, class_names):
    if class_names is None:
        raise ValueError(
            "Labels are names, but the classifier has no `class_names`. Give it those, or "
            f"class indices. Received: {str(names.flat[0])!r}"
        )
    indices = {name: index for index, name in enumerate(class_names)}
    for position, name in enumerate(names):
        if name not in indices:
            raise ValueError(
                f"Labels must be names of classes, {', '.join(class_names)}. Received: "
                f"{str(name)!r} for clip {position}"
            )
    return np.asarray([indices[name] for name in names])


def _check_shares(labels, num_classes):
    if labels.ndim != 2 or labels.shape[1] != num_classes or labels.dtype.kind not in "buif":
        raise ValueError(
            f"Labels must be an array of numbers from 0 to 1 of shape (batch, {num_classes}). "
            f"Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    # A comparison with NaN is false.
    inside = ((labels >= 0) & (labels <= 1)).all(axis=1)
    if not inside.all():
        raise ValueError(f"Labels must be from 0 to 1. Clip {int(np.argmin(inside))} has others.")
    return labels.astype("float32")
