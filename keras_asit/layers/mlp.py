"""The dense layers that every part of ASiT is made of, and what their weights start from."""

import keras


def weight_initializer():
    """Return a new initializer: one that is used again would draw the same numbers."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


def dense(units, activation=None, **kwargs):
    """Return a dense layer whose kernel starts as all of ASiT's do."""
    return keras.layers.Dense(units, activation, kernel_initializer=weight_initializer(), **kwargs)


class MLP(keras.layers.Layer):
    """Dense layers of given widths with the exact (erf) GELU between them, or behind all."""

    def __init__(self, widths, *, activate_last=False, **kwargs):
        super().__init__(**kwargs)
        activations = ["gelu"] * (len(widths) - 1) + ["gelu" if activate_last else None]
        self.dense_layers = [
            dense(units, activation, dtype=self.dtype_policy, name=f"dense_{index}")
            for index, (units, activation) in enumerate(zip(widths, activations), start=1)
        ]

    def build(self, input_shape):
        for layer in self.dense_layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, x):
        for layer in self.dense_layers:
            x = layer(x)
        return x
