"""The dense layers that every part of ASiT is made of."""

import contextlib

import keras
from keras import ops


def exact_gelu(x):
    """GELU with the error function, not its tanh approximation."""
    return ops.gelu(x, approximate=False)


_starts_at_random = True


def weight_initializer():
    """Return the initialiser of all kernels, tokens and embeddings: truncated normal, 0.02."""
    return keras.initializers.TruncatedNormal(stddev=0.02) if _starts_at_random else "zeros"


@contextlib.contextmanager
def start_at_zero():
    """Build layers whose weights are about to be loaded.

    Drawing random numbers first takes longer than loading and, in some backends, several times
    the memory of the weights.
    """
    global _starts_at_random
    _starts_at_random = False
    try:
        yield
    finally:
        _starts_at_random = True


class MLP(keras.layers.Layer):
    """Dense layers with GELU between them.

    Args:
        widths: list of ints. Units of each dense layer.
        activate_last: bool. Whether GELU follows the last layer too.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.
    """

    def __init__(self, widths, activate_last, **kwargs):
        super().__init__(**kwargs)
        last = len(widths) - 1
        self.dense_layers = [
            keras.layers.Dense(
                units,
                activation=exact_gelu if index < last or activate_last else None,
                kernel_initializer=weight_initializer(),
                dtype=self.dtype_policy,
                name=f"dense_{index + 1}",
            )
            for index, units in enumerate(widths)
        ]

    def build(self, input_shape):
        for layer in self.dense_layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, x):
        for layer in self.dense_layers:
            x = layer(x)
        return x
