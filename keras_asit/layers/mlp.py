"""The dense layers that every part of ASiT is made of, and what their weights start from."""

import keras

from keras_asit.layers.recomputation import recomputed


def weight_initializer():
    """Return a new initializer: one that is used again would draw the same numbers."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


def dense(units, **kwargs):
    """Return a dense layer whose kernel starts as all of ASiT's do."""
    return keras.layers.Dense(units, kernel_initializer=weight_initializer(), **kwargs)


class MLP(keras.layers.Layer):
    """Dense layers of given widths with the exact (erf) GELU between them, or behind all."""

    def __init__(self, widths, *, activate_last=False, **kwargs):
        super().__init__(**kwargs)
        self.activate_last = activate_last
        self.dense_layers = [
            dense(units, dtype=self.dtype_policy, name=f"dense_{index}")
            for index, units in enumerate(widths, start=1)
        ]

    def build(self, input_shape):
        for layer in self.dense_layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, x, training=None):
        activate = recomputed(gelu, training)
        *layers, last = self.dense_layers
        for layer in layers:
            x = activate(layer(x))
        x = last(x)
        return activate(x) if self.activate_last else x


def gelu(x):
    return keras.ops.gelu(x, approximate=False)
