"""The dense layers that every part of ASiT is made of, and what their weights start from."""

import keras


def weight_initializer():
    """Return a new initializer of kernels, tokens, embeddings: truncated normal, 0.02.

    A new one for each weight: an initializer of Keras draws the same numbers again.
    """
    return keras.initializers.TruncatedNormal(stddev=0.02)


class MLP(keras.layers.Layer):
    """Dense layers with the exact (erf) GELU between them.

    Args:
        widths: list of ints. Units of each dense layer.
        activate_last: bool. Whether GELU follows the last layer too. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.
    """

    def __init__(self, widths, *, activate_last=False, **kwargs):
        super().__init__(**kwargs)
        self.dense_layers = [
            keras.layers.Dense(
                units,
                activation="gelu" if index < len(widths) or activate_last else None,
                kernel_initializer=weight_initializer(),
                dtype=self.dtype_policy,
                name=f"dense_{index}",
            )
            for index, units in enumerate(widths, start=1)
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
