"""What training computes again for the gradient, instead of keeping it in memory."""

import keras
from keras import ops


def recomputed(function, training):
    """Return a function that, in training, keeps nothing but its inputs for the gradient.

    It is for what is computed fast. PyTorch's own operations keep little else; XLA keeps all that
    it computes between.
    """
    return keras.remat(function) if training and keras.config.backend() != "torch" else function


def rematerialized(function):
    """Return a function of batches that keeps nothing but its inputs for the gradient."""
    function = keras.remat(function)
    # In one piece, JAX's compiler for processors would make one of the two computations.
    return clip_by_clip(function) if on_one_processor_of_jax() else function


def on_one_processor_of_jax() -> bool:
    """Return whether batches can go clip by clip: several devices would each compute all clips."""
    if keras.config.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu" and jax.device_count() == 1


def clip_by_clip(function):
    """Return a function that does with each clip of batches what `function` does with them all."""

    def of_clip(arguments):
        return ops.squeeze(function(*(ops.expand_dims(part, 0) for part in arguments)), 0)

    return lambda *batches: ops.map(of_clip, batches)
