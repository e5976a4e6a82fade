"""Attention of tokens among each other, in the way that suits where it runs."""

import functools

import keras
from keras import ops

from keras_asit.layers.recomputation import (
    clip_by_clip,
    num_batch_devices,
    on_processors_of_jax,
    recomputed,
)


def attend(query_key_value, num_heads, training=False):
    """Return softmax attention in so many heads, `(batch, tokens, width)`.

    Queries, keys and values are side by side, `(batch, tokens, 3 * width)`. They are all that
    training keeps for the gradient.
    """
    return choose()(query_key_value, num_heads, training)


def choose():
    """Return what is fastest here.

    Keras has a fused kernel on JAX's accelerators and under PyTorch, where it is faster on a CPU
    too. The scores of one clip stay in the caches of a CPU, which JAX must be told to make use of.
    """
    if on_processors_of_jax():
        return _compiled_by_clips(num_batch_devices())
    return by_kernel if _has_kernel() else by_products


def _has_kernel():
    if keras.config.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    return keras.config.backend() == "torch"


def by_kernel(query_key_value, num_heads, training=False):
    heads = _split_heads(query_key_value, num_heads)
    attended = ops.dot_product_attention(*ops.split(heads, 3, axis=2))
    return _join_heads(attended)


def by_clips(query_key_value, num_heads, training=False):
    products = functools.partial(by_products, num_heads=num_heads, training=training)
    return clip_by_clip(products)(query_key_value)


@functools.cache
def _compiled_by_clips(devices):
    """Return, for so many devices, what outside of a compiled step would be compiled each time."""
    import jax

    # A function of its own, for JAX keeps what it has compiled of one.
    return jax.jit(functools.partial(by_clips), static_argnums=(1, 2))


def by_products(query_key_value, num_heads, training=False):
    return recomputed(functools.partial(_multiply, num_heads=num_heads), training)(query_key_value)


def _multiply(query_key_value, num_heads):
    # Of (batch, heads, tokens, depth), brought there all at once.
    heads = ops.transpose(_split_heads(query_key_value, num_heads), (0, 2, 1, 3))
    query, key, value = ops.split(heads, 3, axis=1)
    # The query is scaled, which is smaller than the scores.
    scores = ops.matmul(query * query.shape[-1] ** -0.5, ops.transpose(key, (0, 1, 3, 2)))
    attended = ops.matmul(ops.softmax(scores, axis=-1), value)
    return _join_heads(ops.transpose(attended, (0, 2, 1, 3)))


def _split_heads(x, num_heads):
    _, length, width = ops.shape(x)
    return ops.reshape(x, (-1, length, 3 * num_heads, width // (3 * num_heads)))


def _join_heads(x):
    _, length, num_heads, depth = ops.shape(x)
    return ops.reshape(x, (-1, length, num_heads * depth))
