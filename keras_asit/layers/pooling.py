"""From ASiT's tokens to embeddings: one a clip, or one a time step."""

import keras
import numpy as np
from keras import ops

from keras_asit._arguments import arguments_of, check_choice, check_integers, check_shape

POOLINGS = (
    "cls",
    "mean",
    "cls_and_mean",
    "steps",
    "mel_rows",
    "mel_rows_and_maximum",
    "mel_rows_and_deviation",
)
# What features are pooled by unless it is said otherwise; recipes/configs tells how it was chosen.
DEFAULT_POOLING = "mel_rows_and_deviation"
# Those of a clip that PretrainedSED averages.
NUM_STEPS = 250
# Keeps the gradient of a standard deviation of 0 finite.
VARIANCE_EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="keras_asit")
class TokenPooling(keras.layers.Layer):
    """Pool the tokens of a clip into one vector.

    Args:
        pooling: str. `"cls"`, the [CLS] token; `"mean"`, the mean of the patch tokens;
            `"cls_and_mean"`, the two of them side by side; `"steps"`, the mean of the 250 time
            steps that PretrainedSED's networks make of all tokens, [CLS] included; `"mel_rows"`,
            the patch tokens of each row of the mel axis averaged over time, row beside row;
            `"mel_rows_and_maximum"` or `"mel_rows_and_deviation"`, the same and, behind, each row's
            maximum or standard deviation over time. Defaults to `"cls"`.
        num_mel_patches: int. Number of patches along mel, `backbone.grid_shape[1]`. Defaults to
            `None`; needed for mel rows.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Call arguments:
        tokens: `(batch, 1 + patches, width)`, [CLS] first, as `ASiTBackbone` gives it.
        spectrograms: `(batch, frames, mels)` that the tokens are of. Defaults to `None`. Given,
            mel rows are pooled over what has sound: frames whose mel bins are all alike, as in
            padding and in digital silence, do not count unless there are no others.

    Output shape: `(batch, width)`, or a multiple of the width where several vectors are side by
        side.

    Example:
    ```python
    embedding = keras_asit.layers.TokenPooling("mean")(np.zeros((2, 25, 192)))  # (2, 192)
    ```

    Reference: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", arXiv
    2104.14294, appendix F.2, for [CLS] and mean; Schmid et al., "Effective Pre-Training of Audio
    Transformers for Sound Event Detection", arXiv 2409.09546, for steps; Niizumi et al.,
    "Masked Modeling Duo", arXiv 2210.14648, for mel rows.
    """

    def __init__(self, pooling: str = "cls", num_mel_patches: int | None = None, **kwargs):
        super().__init__(**kwargs)
        check_choice("pooling", pooling, POOLINGS)
        has_rows = pooling.startswith("mel_rows")
        check_integers(1, or_none=not has_rows, num_mel_patches=num_mel_patches)
        self.pooling = pooling
        self.num_mel_patches = num_mel_patches

    def build(self, tokens_shape, spectrograms_shape=None):
        check_shape("Tokens", tokens_shape, "(batch, 1 + patches, width)")
        if self.pooling.startswith("mel_rows"):
            _check_grid(tokens_shape, self.num_mel_patches)

    def call(self, tokens, spectrograms=None):
        if self.pooling.startswith("mel_rows"):
            return self._pool_rows(tokens, spectrograms)
        if self.pooling == "steps":
            shares = step_shares(tokens.shape[1], NUM_STEPS).mean(axis=0)
            return ops.einsum("t,btd->bd", ops.cast(shares, tokens.dtype), tokens)
        class_token = tokens[:, 0]
        if self.pooling == "cls":
            return class_token
        mean = ops.mean(tokens[:, 1:], axis=1)
        return mean if self.pooling == "mean" else ops.concatenate([class_token, mean], axis=-1)

    def _pool_rows(self, tokens, spectrograms):
        _, number, width = tokens.shape
        steps, row_width = (number - 1) // self.num_mel_patches, self.num_mel_patches * width
        rows = ops.reshape(tokens[:, 1:], (-1, steps, row_width))
        if spectrograms is None:
            weights = ops.ones_like(rows[:, :, :1])
        else:
            weights = ops.cast(share_of_sound(spectrograms, steps), rows.dtype)[:, :, None]
        mean = ops.sum(weights * rows, axis=1) / ops.sum(weights, axis=1)
        if self.pooling == "mel_rows":
            return mean
        if self.pooling == "mel_rows_and_maximum":
            others = ops.max(ops.where(weights > 0, rows, float("-inf")), axis=1)
        else:
            squares = weights * ops.square(rows - mean[:, None])
            variance = ops.sum(squares, axis=1) / ops.sum(weights, axis=1)
            others = ops.sqrt(variance + VARIANCE_EPSILON)
        return ops.concatenate([mean, others], axis=-1)

    def compute_output_shape(self, tokens_shape, spectrograms_shape=None):
        rows = self.num_mel_patches if self.pooling.startswith("mel_rows") else 1
        return (tokens_shape[0], tokens_shape[-1] * rows * (1 + self.pooling.count("_and_")))

    def get_config(self):
        return {**super().get_config(), **arguments_of(TokenPooling, self)}


def share_of_sound(spectrograms, steps):
    """Return how much of each time step has sound, `(batch, steps)`: all, where no frame has.

    Frames whose mel bins are all alike are padding, before or after the logarithm, or silence.
    """
    has_sound = ops.max(spectrograms, axis=-1) > ops.min(spectrograms, axis=-1)
    has_sound = ops.cast(has_sound, "float32")
    has_sound = ops.where(ops.any(has_sound > 0, axis=1, keepdims=True), has_sound, 1.0)
    edges = np.linspace(0, spectrograms.shape[1], steps + 1)
    frames = np.arange(spectrograms.shape[1])[:, None]
    overlaps = np.minimum(frames + 1, edges[1:]) - np.maximum(frames, edges[:-1])
    return ops.matmul(has_sound, ops.convert_to_tensor(np.maximum(overlaps, 0), "float32"))


def step_shares(num_tokens, num_steps):
    """Return what each time step takes of each token, an array of shape `(steps, tokens)`.

    Where tokens are more than steps, averages; where they are fewer, linear interpolation.
    """
    if num_tokens == num_steps:
        return np.eye(num_steps)
    return (_averages if num_tokens > num_steps else _interpolation)(num_tokens, num_steps)


def _averages(num_tokens, num_steps):
    """Weights of the tokens that each step touches, as PyTorch's `adaptive_avg_pool1d`."""
    steps = np.arange(num_steps)[:, None]
    starts = steps * num_tokens // num_steps
    stops = -(-(steps + 1) * num_tokens // num_steps)
    tokens = np.arange(num_tokens)[None, :]
    touched = np.logical_and(tokens >= starts, tokens < stops)
    return touched / touched.sum(axis=1, keepdims=True)


def _interpolation(num_tokens, num_steps):
    """Weights of linear interpolation, pixel centers aligned, ends repeated."""
    centers = (np.arange(num_steps) + 0.5) * num_tokens / num_steps - 0.5
    centers = np.clip(centers, 0, num_tokens - 1)[:, None]
    return np.maximum(0, 1 - np.abs(centers - np.arange(num_tokens)[None, :]))


def _check_grid(shape, num_mel_patches):
    if shape[1] is None or (shape[1] - 1) % num_mel_patches:
        raise ValueError(
            "Tokens must have shape (batch, 1 + patches, width), patches a multiple of "
            f"`num_mel_patches`, {num_mel_patches}, and known. Received: shape={tuple(shape)}"
        )


@keras.saving.register_keras_serializable(package="keras_asit")
class FramePooling(keras.layers.Layer):
    """Pool the patch tokens of each time step; [CLS] is left out.

    Args:
        num_mel_patches: int. Number of patches along mel, `backbone.grid_shape[1]`.
        pooling: str. `"mean"`, the mean over mel, or `"mel_rows"`, row beside row. Defaults to
            `"mean"`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, 1 + patches, width)`, [CLS] first, then patches in time-major order.
    Output shape: `(batch, patches / num_mel_patches, width)`, or for `"mel_rows"`
        `(batch, patches / num_mel_patches, num_mel_patches * width)`.

    Example:
    ```python
    frames = keras_asit.layers.FramePooling(8)(np.zeros((2, 1 + 37 * 8, 192)))  # (2, 37, 192)
    ```
    """

    def __init__(self, num_mel_patches: int, pooling: str = "mean", **kwargs):
        super().__init__(**kwargs)
        check_integers(1, num_mel_patches=num_mel_patches)
        check_choice("pooling", pooling, ("mean", "mel_rows"))
        self.num_mel_patches = num_mel_patches
        self.pooling = pooling

    def build(self, input_shape):
        check_shape("Tokens", input_shape, "(batch, 1 + patches, width)")
        _check_grid(input_shape, self.num_mel_patches)

    def call(self, tokens):
        width = tokens.shape[2]
        if self.pooling == "mel_rows":
            return ops.reshape(tokens[:, 1:], self.compute_output_shape((-1, *tokens.shape[1:])))
        steps = (tokens.shape[1] - 1) // self.num_mel_patches
        patches = ops.reshape(tokens[:, 1:], (-1, steps, self.num_mel_patches, width))
        return ops.mean(patches, axis=2)

    def compute_output_shape(self, input_shape):
        batch, number, width = input_shape
        rows = self.num_mel_patches if self.pooling == "mel_rows" else 1
        return (batch, (number - 1) // self.num_mel_patches, rows * width)

    def get_config(self):
        return {**super().get_config(), **arguments_of(FramePooling, self)}
