"""One pre-norm transformer encoder block."""

import functools

import keras
from keras import ops

from keras_asit._arguments import arguments_of, as_seed, check_integers, check_number, check_shape
from keras_asit.layers.attention import attend
from keras_asit.layers.mlp import MLP, dense
from keras_asit.layers.recomputation import (
    can_rematerialize,
    clip_by_clip,
    on_processors_of_jax,
    recomputed,
    rematerialized,
)
from keras_asit.replicas import draw_rows


@keras.saving.register_keras_serializable(package="keras_asit")
class TransformerBlock(keras.layers.Layer):
    """Pre-norm transformer block: self-attention, then an MLP, each a residual branch.

    Queries, keys and values come from one fused projection with bias; the MLP's activation
    is the exact (erf) GELU. In training, each branch is dropped for a whole sample with
    probability `drop_path_rate` (stochastic depth) and scaled up otherwise.

    Args:
        num_heads: int. Number of attention heads. It must divide the width of the tokens.
        mlp_dim: int. Width of the MLP's hidden layer.
        drop_path_rate: float in [0, 1). Probability of dropping a branch. Defaults to `0.0`.
        layer_norm_epsilon: float. Epsilon of both layer normalizations. Defaults to `1e-6`.
        rematerialize: bool. Whether training keeps only the tokens that come in, and computes the
            rest once more for the gradient: less memory for more time. Defaults to `False`.
        seed: int. Seed of stochastic depth. Defaults to `None`, a random one.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, tokens, width)`.
    Output shape: the same.

    Example:
    ```python
    block = keras_asit.layers.TransformerBlock(num_heads=3, mlp_dim=768)
    tokens = block(keras.random.normal((2, 297, 192)))
    ```

    Reference: Dosovitskiy et al., "ViT", arXiv 2010.11929, equations 2 and 3; Huang et al., "Deep
    Networks with Stochastic Depth", arXiv 1603.09382.
    """

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        *,
        drop_path_rate: float = 0.0,
        layer_norm_epsilon: float = 1e-6,
        rematerialize: bool = False,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_integers(1, num_heads=num_heads, mlp_dim=mlp_dim)
        check_number("drop_path_rate", drop_path_rate, 0, 0.999)
        check_number("layer_norm_epsilon", layer_norm_epsilon, 0)
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.drop_path_rate = drop_path_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.rematerialize = bool(rematerialize)
        self.seed = as_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed) if drop_path_rate else None

    def build(self, input_shape):
        check_shape("Tokens", input_shape, "(batch, tokens, width)")
        width = input_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                f"The width of the tokens must be a multiple of `num_heads`. Received: "
                f"width={width}, num_heads={self.num_heads}"
            )
        dtype = self.dtype_policy
        norm = {"epsilon": self.layer_norm_epsilon, "dtype": dtype}
        self.attention_norm = keras.layers.LayerNormalization(**norm, name="attention_norm")
        self.query_key_value = dense(3 * width, dtype=dtype, name="query_key_value")
        self.attention_output = dense(width, dtype=dtype, name="attention_output")
        self.mlp_norm = keras.layers.LayerNormalization(**norm, name="mlp_norm")
        self.mlp = MLP([self.mlp_dim, width], dtype=dtype, name="mlp")
        attention = (self.attention_norm, self.query_key_value, self.attention_output)
        for layer in (*attention, self.mlp_norm, self.mlp):
            layer.build((None, None, width))

    def call(self, tokens, training=None):
        scales = []
        if training and self.drop_path_rate:
            # Drawn here, since what is computed once more must not be drawn once more.
            scales = [self._draw_scales(tokens) for _ in range(2)]
        # Of what is computed again as a whole, no part need be computed again by itself.
        recompute_parts = training and not (self.rematerialize and can_rematerialize())
        add_branches = functools.partial(self._add_branches, training=recompute_parts)
        if training and self.rematerialize:
            if any(getattr(each, "overwrite_with_gradient", False) for each in self.variables):
                raise ValueError(
                    "A block that is computed again for its gradient cannot train in float8, whose "
                    "scales are kept as gradients. Give `rematerialize=False`, or do not quantize."
                )
            add_branches = rematerialized(add_branches)
        return add_branches(tokens, *scales)

    def _draw_scales(self, tokens):
        """Return for each sample 0, for a dropped branch, or what it is scaled up by."""
        chances = draw_rows("uniform", (ops.shape(tokens)[0], 1, 1), self.seed_generator)
        kept = ops.cast(chances >= self.drop_path_rate, tokens.dtype)
        return kept / (1 - self.drop_path_rate)

    def _add_branches(self, tokens, *scales, training):
        tokens, normalized = _normalize(tokens, self.attention_norm, training)
        attended = self._attend(normalized, training)
        tokens = tokens + (attended * scales[0] if scales else attended)
        tokens, normalized = _normalize(tokens, self.mlp_norm, training)
        transformed = self.mlp(normalized, training=training)
        return tokens + (transformed * scales[1] if scales else transformed)

    def _attend(self, tokens, training):
        attended = attend(self.query_key_value(tokens), self.num_heads, training)
        return self.attention_output(attended)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), **arguments_of(TransformerBlock, self)}


def _normalize(tokens, norm, training):
    """Return tokens, and what a layer normalization makes of them."""
    if not (training and on_processors_of_jax()):
        return tokens, norm(tokens)
    # The gradient of the tokens is a sum. In a chain of blocks, JAX's compiler for processors would
    # compute it, over all blocks behind, wherever it is needed, unless a loop ends with it.
    tokens, copy = clip_by_clip(lambda clips: (clips, clips))(tokens)
    # A function of its own, for JAX keeps what it has traced of one, with the weights of that time.
    return tokens, recomputed(lambda copy: norm(copy), training)(copy)
