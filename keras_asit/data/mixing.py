"""Mixup of clips and of their labels."""

import tensorflow as tf


def mixup(clips, labels, seed, *, probability=0.5, alpha=10.0):
    """Mix clips of a batch with other clips of it, and their labels alike, inside `tf.data`.

    A clip keeps its length: the other one is cut, or padded with silence.

    Args:
        clips: float32 tensor of shape `(batch, samples)`, dense or ragged.
        labels: float32 tensor of shape `(batch, classes)`.
        seed: int64 tensor of shape `(2,)`, from which all randomness follows.
        probability: float in [0, 1]. How often a clip is mixed. Defaults to `0.5`.
        alpha: float. The share of a clip is drawn from a beta distribution with both
            parameters `alpha`. Defaults to `10.0`.

    Returns:
        A tuple of the same shapes.

    Reference: Zhang et al., "mixup", arXiv 1710.09412, section 2; Gong et al., "PSLA", arXiv
    2102.01243, section III-C, for waveforms and the distribution.
    """
    if len(labels.shape) != 2 or not labels.dtype.is_floating:
        raise ValueError(
            "Labels must be float of shape (batch, classes), one-hot or several, to be mixed. "
            f"Received: shape={tuple(labels.shape)}, dtype={labels.dtype.name}"
        )
    number = tf.shape(labels)[0]
    seeds = [tf.random.experimental.stateless_fold_in(seed, index) for index in range(3)]
    partners = tf.argsort(tf.random.stateless_uniform([number], seeds[0]))
    chosen = tf.random.stateless_uniform([number], seeds[1]) < probability
    # Two variables of a gamma distribution make one of a beta distribution.
    one, other = tf.unstack(tf.random.stateless_gamma([2, number], seeds[2], alpha))
    shares = tf.where(chosen, one / (one + other), 1.0)[:, None]

    def mix(values):
        return shares * values + (1 - shares) * tf.gather(values, partners)

    if not isinstance(clips, tf.RaggedTensor):
        return mix(clips), mix(labels)
    mixed = tf.RaggedTensor.from_tensor(mix(clips.to_tensor()), clips.row_lengths())
    return mixed, mix(labels)
