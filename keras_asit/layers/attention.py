"""Attention of tokens among each other, in the way that suits where it runs."""

import keras
from keras import ops


def attend(query_key_value, num_heads):
    """Return softmax attention in so many heads, `(batch, tokens, width)`.

    Queries, keys and values are side by side, `(batch, tokens, 3 * width)`.
    """
    return (by_kernel if has_kernel() else by_products)(query_key_value, num_heads)


def has_kernel() -> bool:
    """Return whether Keras has one fused kernel for it: under PyTorch, and on JAX's accelerators.

    Under PyTorch it is faster on a CPU too, and keeps no scores for the gradient.
    """
    if keras.config.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    return keras.config.backend() == "torch"


def by_kernel(query_key_value, num_heads):
    heads = _split_heads(query_key_value, num_heads)
    attended = ops.dot_product_attention(*ops.split(heads, 3, axis=2))
    return _join_heads(attended)


def by_products(query_key_value, num_heads):
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
