"""What comes into a task: clips and their labels, checked; each error names the clip."""

import functools
import itertools
import operator

import keras
import numpy as np

from keras_asit._arguments import (
    as_array,
    as_waveforms,
    check_integers,
    check_number,
    is_symbolic,
)
from keras_asit._numpy_function import numpy_function

# --- Clips at hand ---


def as_clips(x, spectrogram_shape=None):
    """Return waveforms as an array, or a `tf.RaggedTensor` if their lengths differ.

    One of shape `(samples,)` is a batch of its own. With `spectrogram_shape`, they are
    spectrograms, an array of shape `(batch, frames, mels)`.
    """
    import tensorflow as tf

    is_list = isinstance(x, (list, tuple)) or hasattr(x, "row_lengths")
    if not is_list and not (hasattr(x, "__array__") and hasattr(x, "shape")):
        raise ValueError(
            "`x` must be an array or a list of clips, or batches: a tf.data.Dataset, a "
            f"keras.utils.PyDataset or a generator. Received: x={type(x).__name__}"
        )
    if spectrogram_shape is None:
        is_single = not is_list and len(x.shape) == 1 and x.shape[0]
        clips = as_waveforms(as_array(x)[None] if is_single else x)
        if isinstance(clips, np.ndarray):
            return clips
        lengths = [len(clip) for clip in clips]
        return tf.RaggedTensor.from_row_lengths(np.concatenate(clips), lengths)
    clips = as_array(x).astype("float32", copy=False)
    if clips.shape[1:] != spectrogram_shape:
        raise ValueError(
            "Without a preprocessor, inputs are spectrograms of shape (batch, "
            f"{', '.join(map(str, spectrogram_shape))}). Received: shape={clips.shape}"
        )
    _check(np.isfinite(clips), clips, "Spectrograms must be finite")
    return clips


def as_dataset(batches, check):
    """Return a `tf.data.Dataset` of the batches of a `keras.utils.PyDataset` or a generator.

    `check` returns a batch as a tuple of arrays, clips of several lengths being ragged.
    """
    import tensorflow as tf

    number, first, take = _reader(batches)

    def arrays_of(batch):
        clips, *others = check(batch)
        if len(clips.shape) == 2:  # Waveforms, of one length in this batch or of several.
            lengths = np.asarray([len(clip) for clip in clips])
            clips = np.concatenate([np.asarray(clip) for clip in clips]), lengths
        return clips, *others

    structure = arrays_of(first)
    arrays = keras.tree.flatten(structure)

    def read(index):
        batch = take(int(index))
        is_end = batch is None
        read = [array[:0] for array in arrays] if is_end else keras.tree.flatten(arrays_of(batch))
        return np.bool_(not is_end), *read

    def element(index):
        dtypes = [bool, *(array.dtype for array in arrays)]
        is_there, *parts = numpy_function(read, [index], dtypes)
        for part, array in zip(parts, arrays):
            part.set_shape((None, *array.shape[1:]))
        clips, *others = keras.tree.pack_sequence_as(structure, parts)
        clips = tf.RaggedTensor.from_row_lengths(*clips) if isinstance(clips, tuple) else clips
        return is_there, clips, *others

    if number is None:
        found = tf.data.Dataset.counter().map(element).take_while(lambda is_there, *_: is_there)
    else:
        found = tf.data.Dataset.range(number).map(element)
    return found.map(lambda _, *batch: batch)


def _reader(batches):
    """Return how many batches there are, the first, and a function from an index to a batch.

    Of a generator, the number is not known, and it returns `None` at the end.
    """
    if not isinstance(batches, keras.utils.PyDataset):
        first = next(batches, None)
        if first is None:
            raise ValueError("The generator has no batches, or no more; make it anew.")
        rest = itertools.chain([first], batches)
        return None, first, lambda index: next(rest, None)
    number = batches.num_batches
    if number == 0:
        raise ValueError(f"The dataset has no batches. Received: {type(batches).__name__}")

    def take(index):
        batch = batches[index]
        if index + 1 == number:
            batches.on_epoch_end()
        return batch

    return number, batches[0], take


def assert_spectrograms(x):
    """Check in a graph of TensorFlow that `x` is a batch of spectrograms, and return it."""
    import tensorflow as tf

    if x.shape.rank != 3:
        raise ValueError(
            "A dataset must be of batches of known rank, (batch, frames, mels); call its `batch`. "
            f"Received: shape={x.shape}"
        )
    return tf.debugging.assert_all_finite(x, "Spectrograms must be finite.")


def split_clips(data, share):
    """Return the first clips, and the others, as `keras.Model.fit` splits them."""
    check_number("validation_split", share, 0, 0.999)
    if not isinstance(data, tuple):
        raise ValueError(
            "`validation_split` needs clips at hand; give `validation_data` instead. Received: "
            f"{type(data).__name__}"
        )
    number = data[0].shape[0]
    stop = int(number * (1 - share))
    if not 0 < stop < number:
        raise ValueError(
            f"`validation_split` leaves no clip of {number} on one side. "
            f"Received: validation_split={share:g}"
        )
    parts = slice(stop), slice(stop, None)
    return [keras.tree.map_structure(operator.itemgetter(part), data) for part in parts]


def as_batches(data, batch_size=None, shuffle=False):
    """Return a `tf.data.Dataset` of batches of 32 or `batch_size`, shuffled anew in each pass.

    `data` is a tuple of clips and, where there are such, labels and weights; anything else is
    returned as it is.
    """
    import tensorflow as tf

    if not isinstance(data, tuple):
        return data
    check_integers(1, or_none=True, batch_size=batch_size)
    number = data[0].shape[0]
    indices = tf.data.Dataset.range(number)
    if shuffle:
        indices = indices.shuffle(number, reshuffle_each_iteration=True)
    # As tensors: TensorFlow would write arrays into the graph, which holds 2 GB at most.
    data = keras.tree.map_structure(
        lambda part: part if tf.is_tensor(part) else tf.constant(part), data
    )
    return indices.batch(batch_size or 32).map(
        lambda batch: keras.tree.map_structure(lambda part: tf.gather(part, batch), data)
    )


# --- Labels: in `tf.data`, their errors are `tf.errors.InvalidArgumentError`s as a batch comes ---


def as_indices(labels, num_classes, class_names=None):
    """Return class indices, or names, of shape `(batch,)` or `(batch, 1)` as class indices."""
    if is_symbolic(labels):
        check = functools.partial(as_indices, num_classes=num_classes, class_names=class_names)
        return _check_later(check, labels, "int32", labels.shape[:1])
    labels = as_label_array(labels)
    if labels.shape[1:] not in ((), (1,)) or not labels.ndim:
        raise ValueError(
            f"Labels must be class indices of shape (batch,), or of shape (batch, {num_classes}). "
            f"Received: shape={labels.shape}"
        )
    labels = labels.ravel()
    if labels.dtype.kind in "SUO":
        labels = _look_up(labels, class_names)
    good = (labels >= 0) & (labels < num_classes) & (labels == np.floor(labels))
    _check(good, labels, f"Labels must be integers from 0 to {num_classes - 1}")
    return labels.astype("int32")


def as_indices_of_ones(labels):
    """Return the class of each row of zeros and a one, shape `(batch, classes)`, as its index."""
    if is_symbolic(labels):
        return _check_later(as_indices_of_ones, labels, "int32", labels.shape[:1])
    labels = as_label_array(labels)
    shares = as_shares(labels, labels.shape[1:])
    if not ((shares.max(axis=1) == 1) & (shares.sum(axis=1) == 1)).all():
        raise ValueError(
            "Labels are shares of several classes, but the loss takes class indices, or a one in "
            "the column of the class. Give those, or compile with `loss=keras.losses."
            "CategoricalCrossentropy(from_logits=True)` and metrics to match."
        )
    return shares.argmax(axis=1).astype("int32")


def as_shares(labels, shape):
    """Return numbers from 0 to 1 of shape `(batch, *shape)` as float32."""
    if is_symbolic(labels):
        check = functools.partial(as_shares, shape=shape)
        return _check_later(check, labels, "float32", (labels.shape[0], *shape))
    labels = as_label_array(labels)
    if labels.shape[1:] != tuple(shape) or labels.dtype.kind not in "buif":
        raise ValueError(
            "Labels must be an array of numbers from 0 to 1 of shape (batch, "
            f"{', '.join(map(str, shape))}). Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    _check((labels >= 0) & (labels <= 1), labels, "Labels must be from 0 to 1")
    return labels.astype("float32")


def as_label_array(labels):
    """Return labels as an array."""
    try:
        return as_array(labels)
    except ValueError as error:
        raise ValueError(
            "Labels must be one a clip, or a column a class. Received: lists of several lengths"
        ) from error


def _check(good, values, message):
    # A comparison with NaN is false.
    if not good.all():
        index = tuple(np.argwhere(~good)[0])
        raise ValueError(f"{message}. Received: {values[index]} for clip {index[0]}")


def _check_later(check, labels, dtype, shape):

    checked = numpy_function(check, [labels], dtype)
    checked.set_shape(shape)
    return checked


def _look_up(labels, class_names):
    names = [name.decode() if isinstance(name, bytes) else name for name in labels.tolist()]
    if class_names is None:
        raise ValueError(
            "Labels that are names need `class_names` of the classifier. Give it those, or class "
            f"indices. Received: {names[0]!r}"
        )
    indices = {name: index for index, name in enumerate(class_names)}
    for clip, name in enumerate(names):
        if name not in indices:
            raise ValueError(
                f"Labels must be numbers or names of classes, {', '.join(class_names)}. Received: "
                f"{name!r} for clip {clip}"
            )
    return np.array([indices[name] for name in names])
