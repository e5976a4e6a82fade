"""Mixup of clips and of their labels."""

import random

import keras

from keras_asit._arguments import as_seed, check_number


class Mixup:
    """Mix clips of a batch with other clips of it, and their labels alike; for `tf.data`.

    Keras's own `keras.layers.MixUp` mixes; here each clip is mixed with a probability only, and
    clips may be waveforms, also of different lengths, or spectrograms. A clip keeps its length:
    the other one is cut, or padded with silence. Its map must not be parallel, so that it is
    repeatable. Datasets with sample weights are not for it: a mixed clip would need a mixed weight.

    Args:
        probability: float in [0, 1]. How often a clip is mixed. Defaults to `0.5`.
        alpha: float. The share of a clip is drawn from a beta distribution with both
            parameters `alpha`. Defaults to `10.0`.
        seed: int. Defaults to `None`, a random one.

    Call arguments:
        x: float tensor of shape `(batch, samples)`, dense or ragged, or `(batch, frames, mels)`.
        y: float tensor of shape `(batch, classes)`.

    Returns:
        A tuple of the same shapes, float32.

    Example:

    ```python
    data = np.zeros((4, 16000), "float32"), np.eye(4, dtype="float32")
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(2)
    dataset = dataset.map(keras_asit.data.Mixup(0.5, seed=1))
    ```

    Reference: Zhang et al., "mixup", arXiv 1710.09412, section 2; Gong et al., "PSLA", arXiv
    2102.01243, section III-C, for waveforms and the distribution.
    """

    def __init__(self, probability=0.5, alpha=10.0, seed=None):
        import tensorflow as tf

        check_number("probability", probability, 0, 1)
        check_number("alpha", alpha, 1e-3)
        seed = as_seed(seed)
        seed = random.randrange(2**31) if seed is None else int(seed)
        self.probability = probability
        self.mix = keras.layers.MixUp(alpha, data_format="channels_last", seed=seed)
        # Operations with a seed would repeat themselves in every pass; a generator goes on.
        self.generator = tf.random.Generator.from_seed(seed)

    def __call__(self, x, y):
        import tensorflow as tf

        if len(y.shape) != 2 or not y.dtype.is_floating:
            raise ValueError(
                "Labels must be float of shape (batch, classes), one-hot or several, to be "
                f"mixed. Received: shape={tuple(y.shape)}, dtype={y.dtype.name}"
            )
        if not x.dtype.is_floating:
            raise ValueError(f"Clips must be float to be mixed. Received: dtype={x.dtype.name}")
        # NumPy's floats are double, which Keras would mix with single ones.
        x, y = tf.cast(x, tf.float32), tf.cast(y, tf.float32)
        lengths = x.row_lengths() if isinstance(x, tf.RaggedTensor) else None
        clips = x if lengths is None else x.to_tensor()
        mixed_clips, mixed_labels = self._mix(clips, y)
        chosen = self.generator.uniform([tf.shape(y)[0]]) < self.probability
        clips = tf.where(
            tf.reshape(chosen, [-1] + [1] * (len(clips.shape) - 1)), mixed_clips, clips
        )
        labels = tf.where(chosen[:, None], mixed_labels, y)
        return clips if lengths is None else tf.RaggedTensor.from_tensor(clips, lengths), labels

    def _mix(self, clips, labels):
        import tensorflow as tf

        shape = tf.shape(clips)
        # Keras mixes images; a clip is one of a single row or channel.
        images = tf.reshape(clips, tf.concat([shape[:1], [1], [-1], shape[-1:]], 0))
        mixed = self.mix({"images": images, "labels": labels})
        return tf.reshape(mixed["images"], shape), mixed["labels"]
