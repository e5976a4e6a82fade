"""Whether JAX is compiling for a CPU, where a block is fastest clip by clip."""

import keras


def is_compiled_for_cpu(x):
    """Return whether `x` is a value in a function that JAX compiles for one CPU.

    There the attention scores of a whole batch overflow the caches, and memory is waited for.
    On accelerators, under other backends and run eagerly, it is a batch that is fast.
    """
    if keras.config.backend() != "jax":
        return False
    import jax

    is_traced = isinstance(x, jax.core.Tracer)
    return is_traced and jax.default_backend() == "cpu" and jax.device_count() == 1
