"""What training computes again for the gradient, or clip by clip, to save memory and time."""

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
    in_pieces = on_processors_of_jax() and can_rematerialize()
    return clip_by_clip(function) if in_pieces else function


def can_rematerialize() -> bool:
    """Return whether what is `rematerialized` is computed twice, which saves its memory.

    In one piece, JAX's compiler for processors makes one of the two computations.
    """
    return not on_processors_of_jax() or num_batch_devices() == 1


def on_processors_of_jax() -> bool:
    """Return whether batches had better go clip by clip."""
    if keras.config.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"


def clip_by_clip(function):
    """Return a function that does with a clip of each device at a time what `function` does.

    It must not use weights where there are several devices, which would add up their gradients at
    each clip.
    """

    def in_turns(*batches):
        size, devices = batches[0].shape[0], num_batch_devices()
        if devices > 1 and size % devices:
            return function(*batches)

        def split(batch):
            # Devices have consecutive clips.
            clips = ops.reshape(batch, (devices, size // devices, *batch.shape[1:]))
            return ops.swapaxes(clips, 0, 1)

        def join(clips):
            return ops.reshape(ops.swapaxes(clips, 0, 1), (size, *clips.shape[2:]))

        turns = ops.map(lambda clips: function(*clips), tuple(map(split, batches)))
        return keras.tree.map_structure(join, turns)

    return in_turns


def num_batch_devices() -> int:
    """Return how many devices share each batch."""
    distribution = keras.distribution.distribution()
    if distribution is None or distribution.batch_dim_name is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
