"""What comes into a task: clips at hand, or a dataset of batches of them."""

import keras
import numpy as np

from keras_asit._arguments import as_waveforms, check_number


def as_dataset(data, batch_size=None, shuffle=False):
    """Return a `tf.data.Dataset` of batches of arrays, shuffled anew in each pass.

    Args:
        data: tuple of clips, labels and weights; anything else is returned as it is.
        batch_size: int. Defaults to `None`, 32.
        shuffle: bool. Defaults to `False`.
    """
    import tensorflow as tf

    if not isinstance(data, tuple):
        return data
    number = data[0].shape[0]
    indices = tf.data.Dataset.range(number)
    if shuffle:
        indices = indices.shuffle(number, reshuffle_each_iteration=True)
    # As tensors: TensorFlow would write arrays into the graph, which holds 2 GB at most.
    data = keras.tree.map_structure(
        lambda part: part if tf.is_tensor(part) else tf.constant(part),
        keras.utils.pack_x_y_sample_weight(*data),
    )
    return indices.batch(batch_size or 32).map(
        lambda batch: keras.tree.map_structure(lambda part: tf.gather(part, batch), data)
    )


def split_clips(data, share):
    """Return the first clips, and the others, as `keras.Model.fit` splits them."""
    check_number("validation_split", share, 0, 0.999)
    if not isinstance(data, tuple) or data[1] is None:
        raise ValueError(
            "`validation_split` needs clips and labels at hand; give `validation_data` instead. "
            f"Received: {type(data).__name__}"
        )
    number = data[0].shape[0]
    stop = int(number * (1 - share))
    if not 0 < stop < number:
        raise ValueError(
            f"`validation_split` leaves no clip of {number} on one side. "
            f"Received: validation_split={share:g}"
        )

    def cut(clips):
        return keras.tree.map_structure(lambda part: None if part is None else part[clips], data)

    return cut(slice(stop)), cut(slice(stop, None))


def are_clips(x):
    """Return whether `x` is clips at hand: an array, a tensor, or a list of arrays."""
    has_shape = hasattr(x, "__array__") and hasattr(x, "shape")
    return isinstance(x, (list, tuple)) or has_shape or hasattr(x, "row_lengths")


def check_dataset(x, **others):
    """Raise `ValueError` unless `x` is a dataset and nothing that it holds is given besides it."""
    import tensorflow as tf

    if not isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset)):
        raise ValueError(
            "`x` must be an array or a list of clips, or a tf.data.Dataset of batches; "
            "tf.data.Dataset.from_generator makes one of a generator. Received: "
            f"x={type(x).__name__}"
        )
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"A dataset of batches brings its own `{name}`; leave that out. Received: "
                f"x={type(x).__name__}, {name}={type(value).__name__}"
            )


def as_waveform_input(x):
    """Return waveforms as an array, or as a `tf.RaggedTensor` if their lengths differ."""
    import tensorflow as tf

    waveforms = as_waveforms(list(x) if isinstance(x, tf.RaggedTensor) else x)
    if isinstance(waveforms, np.ndarray):
        return waveforms
    lengths = [len(waveform) for waveform in waveforms]
    return tf.RaggedTensor.from_row_lengths(np.concatenate(waveforms), lengths)


def as_spectrogram_input(x, shape):
    """Return spectrograms as an array of shape `(batch, *shape)`."""
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


def assert_batch(x, are_waveforms):
    """Check in a graph of TensorFlow that `x` is a batch of clips, and return it."""
    import tensorflow as tf

    shape = "(batch, samples)" if are_waveforms else "(batch, frames, mels)"
    if x.shape.rank != shape.count(",") + 1:
        raise ValueError(
            f"A dataset must be of batches of known rank, {shape}; call its `batch`. Received: "
            f"shape={x.shape}"
        )
    if are_waveforms:
        return x
    return tf.debugging.assert_all_finite(x, "Spectrograms must be finite.")
