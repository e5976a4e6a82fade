"""Group masked model learning: corrupt groups of connected patches of spectrograms."""

import bisect
import functools
import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_asit._arguments import arguments_of, as_seed, check_choice, check_integers, check_number
from keras_asit.replicas import draw_rows, place_of_rows, rows_of_replicas

KINDS = ("zeros", "noise", "time", "freq")
# The longest side of a rectangle, as a share of the spectrogram's.
MAX_SIDE = 0.3
# With 64 clips of two views and 592 frames, as many take 2.5 GB.
MOST_RECTANGLES = 4096


@keras.saving.register_keras_serializable(package="keras_asit")
class GroupMasking(keras.layers.Layer):
    """Corrupt random rectangles of spectrograms and say where (GMML).

    For every spectrogram, rectangles are drawn until their union covers a random share of it,
    and what they cover is dropped. With probability `replace_probability`, a spectrogram is
    corrupted in another way instead: its rectangles cover a share up to `replace_ratio` and
    show the same region of another clip of the batch. A single clip is always dropped from,
    since there is no other to show.

    A rectangle's sides are uniform between `align` and 30 % of the spectrogram's. The layer
    corrupts whenever it is called, in training and outside.

    Args:
        drop_ratio: float in [0, 0.9]. The dropped share is uniform between this and 0.5, or
            equals it where it is below 0.5. Defaults to `0.7`.
        kind: str, or list of strs of which every spectrogram draws one. What is dropped:
            `"zeros"` and `"noise"` fill rectangles with zeros and with Gaussian noise, `"time"`
            and `"freq"` fill whole bands of frames and of mel bins with zeros. Defaults to
            `"zeros"`.
        replace_ratio: float in [0, 0.9]. The replaced share, in the same way. Defaults to `0.3`.
        replace_probability: float in [0, 1]. Defaults to `0.5`.
        align: int. Corners and sides are multiples of so many frames and bins. Defaults to `1`.
        seed: int. Defaults to `None`, a random one.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape: `(batch, frames, mels)` or `(batch, views, frames, mels)`; both sides known.
    Output shape: two of the input's: corrupted spectrograms, and the mask, 1 where they are.

    Example:
    ```python
    masking = keras_asit.layers.GroupMasking(drop_ratio=0.5, kind=["zeros", "time"], seed=1)
    corrupted, mask = masking(keras.random.normal((8, 592, 128)))
    ```

    Reference: Atito et al., "GMML is All you Need", arXiv 2205.14986; "ASiT", arXiv 2211.13189.
    """

    def __init__(
        self,
        drop_ratio: float = 0.7,
        kind: str | Sequence[str] = "zeros",
        *,
        replace_ratio: float = 0.3,
        replace_probability: float = 0.5,
        align: int = 1,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        # Beyond 0.9, hardly any rectangle still hits what is left over along the borders.
        check_number("drop_ratio", drop_ratio, 0, 0.9)
        check_number("replace_ratio", replace_ratio, 0, 0.9)
        check_number("replace_probability", replace_probability, 0, 1)
        check_integers(1, align=align)
        self.kinds = list(kind) if isinstance(kind, (list, tuple)) else [kind]
        if not self.kinds:
            raise ValueError(f"`kind` must name at least one of {KINDS}. Received: kind={kind!r}")
        for name in self.kinds:
            check_choice("kind", name, KINDS)
        self.drop_ratio = drop_ratio
        self.kind = list(kind) if isinstance(kind, tuple) else kind
        self.replace_ratio = replace_ratio
        self.replace_probability = replace_probability
        self.align = int(align)
        self.seed = as_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def build(self, input_shape):
        sides = tuple(input_shape[-2:])
        if len(input_shape) not in (3, 4) or None in sides:
            raise ValueError(
                "Spectrograms must have shape (batch, frames, mels) or (batch, views, frames, "
                f"mels), with frames and mels known. Received: shape={tuple(input_shape)}"
            )
        if min(sides) <= self.align:
            raise ValueError(
                "Both sides of a spectrogram must be larger than `align`. Received: "
                f"(frames, mels)={sides}, align={self.align}"
            )
        self._count_rectangles(sides)

    def call(self, spectrograms):
        shape = ops.shape(spectrograms)
        views = 1 if len(shape) == 3 else shape[1]
        corrupted, mask = self._corrupt(ops.reshape(spectrograms, (-1, *shape[-2:])), views)
        return ops.reshape(corrupted, shape), ops.reshape(mask, shape)

    def _corrupt(self, spectrograms, views):
        """Corrupt spectrograms of shape (clips * views, frames, mels)."""
        count, *sides = ops.shape(spectrograms)
        choices = self._uniform((count, 4))
        total = place_of_rows(count)[1]
        replaced = ops.logical_and(choices[:, 0] < self.replace_probability, total > views)
        share = ops.where(
            replaced,
            _interpolate(choices[:, 1], min(0.5, self.replace_ratio), self.replace_ratio),
            _interpolate(choices[:, 1], min(0.5, self.drop_ratio), self.drop_ratio),
        )
        kind = ops.floor(choices[:, 2] * len(self.kinds))
        rows, columns = self._draw_rectangles(count, tuple(sides), kind, replaced)
        mask = _cover(rows, columns, share)
        content = ops.where(
            replaced[:, None, None],
            _take_other_clips(spectrograms, views, choices[:, 3]),
            self._dropped_content(spectrograms, kind[:, None, None]),
        )
        return ops.where(mask > 0, content, spectrograms), ops.cast(mask, spectrograms.dtype)

    def _uniform(self, shape):
        return draw_rows("uniform", shape, self.seed_generator)

    def _draw_rectangles(self, count, sides, kind, replaced):
        """Draw which frames, (count, rectangles, frames), and which bins each rectangle spans."""
        uniform = self._uniform((count, self._count_rectangles(sides), 4))
        rows = self._draw_intervals(uniform[..., 0], uniform[..., 1], sides[0])
        columns = self._draw_intervals(uniform[..., 2], uniform[..., 3], sides[1])
        for index, name in enumerate(self.kinds):
            is_band = ops.logical_and(kind == index, ops.logical_not(replaced))[:, None, None]
            if name == "time":
                columns = ops.where(is_band, 1.0, columns)
            elif name == "freq":
                rows = ops.where(is_band, 1.0, rows)
        return rows, columns

    def _count_rectangles(self, sides):
        ratio = max(self.drop_ratio, self.replace_ratio)
        return _enough_rectangles(sides, self.align, ratio)

    def _draw_intervals(self, start, length, side):
        align, longest = self.align, _longest(side, self.align)
        start = ops.floor(start * (side - align)) // align * align
        length = ops.minimum(ops.floor(_interpolate(length, align, longest)), side - start)
        stop = start + ops.round(length / align) * align
        positions = ops.arange(side, dtype="float32")
        covered = ops.logical_and(positions >= start[..., None], positions < stop[..., None])
        return ops.cast(covered, "float32")

    def _dropped_content(self, spectrograms, kind):
        content = ops.zeros_like(spectrograms)
        for index, name in enumerate(self.kinds):
            if name == "noise":
                noise = draw_rows("normal", ops.shape(spectrograms), self.seed_generator)
                noise = ops.cast(noise, spectrograms.dtype)
                content = ops.where(kind == index, noise, content)
        return content

    def compute_output_shape(self, input_shape):
        return input_shape, input_shape

    def save_own_variables(self, store):
        # Keras leaves this out, and training that is resumed would repeat its first masks.
        store["seed_generator_state"] = self.seed_generator.state

    def load_own_variables(self, store):
        self.seed_generator.state.assign(store["seed_generator_state"])

    def get_config(self):
        return {**super().get_config(), **arguments_of(GroupMasking, self)}


def _longest(side, align):
    return max(align + 1, int(side * MAX_SIDE))


@functools.cache
def _enough_rectangles(sides, align, ratio):
    """Return how many rectangles are drawn: twice those that reach the ratio on average.

    A pixel (t, m) stays uncovered by n rectangles with probability
    (1 - P(t in rows) P(m in columns))^n. The spread of the number needed is far smaller
    than its mean; where even twice the mean does not do, all of them are the mask.
    """
    chances = [_interval_coverage(side, align, _longest(side, align)) for side in sides]
    uncovered = 1 - chances[0][:, None] * chances[1][None, :]
    numbers = range(1, MOST_RECTANGLES + 1)
    index = bisect.bisect_left(numbers, ratio, key=lambda n: 1 - np.mean(uncovered**n))
    if index == len(numbers):
        raise ValueError(
            f"{MOST_RECTANGLES} rectangles do not cover a share of {ratio} of a spectrogram. "
            f"Choose a smaller `align` or ratios. Received: (frames, mels)={sides}, align={align}"
        )
    return 2 * numbers[index] + 16


def _interval_coverage(side, align, longest):
    """Return the probability that a random interval covers each position of a side."""
    coverage = np.zeros(side)
    starts = np.arange(side - align) // align * align
    lengths = np.arange(align, longest)
    for start, weight in zip(*np.unique(starts, return_counts=True)):
        rounded = np.round(np.minimum(lengths, side - start) / align) * align
        spans = np.arange(side)[:, None] < start + rounded[None, :]
        coverage[start:] += weight * spans.mean(axis=1)[start:]
    return coverage / len(starts)


def _interpolate(uniform, low, high):
    return low + uniform * (high - low)


def _cover(rows, columns, share):
    """Return the union of as many leading rectangles as it takes to cover `share` of each clip.

    The union grows with the number of rectangles, so bisection finds that number for the whole
    batch at once; each union is one matrix product.
    """
    num_rectangles, frames = rows.shape[1:]
    num_pixels = frames * columns.shape[2]
    indices = ops.arange(num_rectangles, dtype="float32")[None, :]
    rows = ops.transpose(rows, (0, 2, 1))

    def union(number):
        used = ops.cast(indices < number[:, None], "float32")
        return ops.cast(ops.matmul(rows * used[:, None, :], columns) > 0, "float32")

    too_few = ops.zeros_like(share)
    enough = ops.where(share > 0, ops.full_like(share, num_rectangles), too_few)
    for _ in range(math.ceil(math.log2(num_rectangles))):
        middle = ops.floor((too_few + enough) / 2)
        reached = ops.sum(union(middle), axis=(1, 2)) >= share * num_pixels
        enough = ops.where(reached, middle, enough)
        too_few = ops.where(reached, too_few, middle)
    return union(enough)


def _take_other_clips(spectrograms, views, uniform):
    """Return for each spectrogram one of another clip of the batch, the same view of it."""
    count = ops.shape(spectrograms)[0]
    first, total = place_of_rows(count)
    steps = 1 + ops.cast(uniform * ops.cast(total // views - 1, "float32"), "int32")
    others = (first + ops.arange(count, dtype="int32") + steps * views) % total
    return ops.take(rows_of_replicas(spectrograms), others, axis=0)
