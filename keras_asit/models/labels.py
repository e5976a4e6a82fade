"""Labels of clips, checked before a task trains on them: each error names the clip."""

import functools

import keras
import numpy as np

from keras_asit._arguments import is_symbolic


def as_indices(labels, num_classes, class_names=None):
    """Return labels, one a clip, as class indices.

    Args:
        labels: array or list of `(batch,)` or `(batch, 1)` class indices or, with `class_names`,
            names; or a symbolic tensor of `tf.data` of them.
        num_classes: int.
        class_names: list of strs. Defaults to `None`.

    Raises:
        ValueError: for a name that is no class, an index out of range, or another shape. In
            `tf.data` it is a `tf.errors.InvalidArgumentError` when the batch comes.
    """
    if is_symbolic(labels):
        check = functools.partial(as_indices, num_classes=num_classes, class_names=class_names)
        return _check_later(check, labels, "int32", labels.shape[:1])
    labels = as_array(labels)
    if labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)):
        raise ValueError(
            "Labels must be class indices of shape (batch,), or of shape (batch, "
            f"{num_classes}). Received: shape={labels.shape}"
        )
    labels = labels.ravel()
    if labels.dtype.kind in "SUO":
        labels = _look_up(labels, class_names)
    good = (labels >= 0) & (labels < num_classes) & (labels == np.floor(labels))
    _check(good, labels, f"integers from 0 to {num_classes - 1}")
    return labels.astype("int32")


def as_shares(labels, shape):
    """Return labels that are shares, `(batch, *shape)` numbers from 0 to 1, as float32.

    Raises:
        ValueError: for another shape, type or range. In `tf.data` it is a
            `tf.errors.InvalidArgumentError` when the batch comes.
    """
    if is_symbolic(labels):
        check = functools.partial(as_shares, shape=shape)
        return _check_later(check, labels, "float32", (labels.shape[0], *shape))
    labels = as_array(labels)
    if labels.shape[1:] != tuple(shape) or labels.dtype.kind not in "buif":
        raise ValueError(
            "Labels must be an array of numbers from 0 to 1 of shape (batch, "
            f"{', '.join(map(str, shape))}). Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    _check((labels >= 0) & (labels <= 1), labels, "from 0 to 1")
    return labels.astype("float32")


def as_array(labels):
    """Return labels as an array of NumPy."""
    try:
        is_tensor = keras.ops.is_tensor(labels)
        return keras.ops.convert_to_numpy(labels) if is_tensor else np.asarray(labels)
    except ValueError as error:
        raise ValueError(
            "Labels must be one a clip, or a column a class. Received: lists of several lengths"
        ) from error


def _check(good, labels, accepted):
    # A comparison with NaN is false.
    if not good.all():
        index = tuple(np.argwhere(~good)[0])
        raise ValueError(
            f"Labels must be {accepted}. Received: {labels[index]} for clip {index[0]}"
        )


def _check_later(check, labels, dtype, shape):
    import tensorflow as tf

    checked = tf.numpy_function(check, [labels], dtype)
    checked.set_shape(shape)
    return checked


def _look_up(labels, class_names):
    names = [name.decode() if isinstance(name, bytes) else name for name in labels.tolist()]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"Labels must be numbers or names. Received: {labels[0]!r} among others")
    if class_names is None:
        raise ValueError(
            "Labels are names, but the classifier has no `class_names`. Give it those, or "
            f"class indices. Received: {names[0]!r}"
        )
    for clip, name in enumerate(names):
        if name not in class_names:
            raise ValueError(
                f"Labels must be names of classes, {', '.join(class_names)}. Received: "
                f"{name!r} for clip {clip}"
            )
    indices = {name: index for index, name in enumerate(class_names)}
    return np.array([indices[name] for name in names])
