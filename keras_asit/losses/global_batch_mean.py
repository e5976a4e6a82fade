"""Means over all replicas of a distributed training run."""

import keras


def global_batch_mean(value):
    """Return the mean over all replicas of `value`, the mean over one replica's batch.

    TensorFlow and PyTorch run a step once per replica; JAX runs it once, over global arrays,
    and needs nothing more.
    """
    return {"tensorflow": _tensorflow_mean, "torch": _torch_mean}.get(
        keras.config.backend(), lambda value: value
    )(value)


def num_replicas():
    """Return over how many replicas Keras sums gradients: TensorFlow's, else 1.

    A replica's loss is to be divided by it. Keras's own losses are; what it logs is multiplied.
    """
    if keras.config.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def _tensorflow_mean(value):
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def _torch_mean(value):
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return value
    value = value.clone()
    distributed.all_reduce(value)
    return value / distributed.get_world_size()
