"""Group masking: its distribution against the reference's, and the exact content."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from harness import assert_config_round_trip, to_numpy
from keras import ops

from keras_asit.layers import GroupMasking

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "masking_statistics.json").read_text(encoding="utf-8")
)


def normal_spectrograms(*shape):
    return np.random.normal(size=shape).astype("float32")


def draw_masks(masking, number, frames, mels, batch_size=100):
    blank = np.ones((batch_size, frames, mels), "float32")
    call = jit_on_jax(masking, blank.shape)
    return np.concatenate([call(blank)[1] for _ in range(number // batch_size)])


def mean_of_bins(values, width=16):
    return values.reshape(-1, width).mean(axis=1)


def run_lengths(masks):
    """Return the lengths of all runs of ones along the last axis."""
    lines = np.pad(masks.reshape(-1, masks.shape[-1]).astype(int), ((0, 0), (1, 1)))
    edges = np.diff(lines, axis=1)
    return np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]


def compile_on_tensorflow(masking, shape):
    """Return the layer's call compiled by XLA, from and to NumPy."""
    import tensorflow as tf

    masking.build(shape)
    function = tf.function(masking, jit_compile=True)
    return lambda spectrograms: to_numpy(function(spectrograms))


def compile_on_jax(masking, shape):
    """Return the layer's call compiled by XLA, from and to NumPy; it keeps the layer's state."""
    import jax

    masking.build(shape)
    function = jax.jit(masking.stateless_call)

    def call(spectrograms):
        state = [variable.value for variable in masking.non_trainable_variables]
        outputs, state = function([], state, spectrograms)
        for variable, value in zip(masking.non_trainable_variables, state):
            variable.assign(value)
        return to_numpy(outputs)

    return call


def jit_on_jax(masking, shape):
    """Return the layer's call, from and to NumPy.

    Eagerly, JAX would compile every operation for every shape by itself, which takes long.
    """
    if keras.config.backend() == "jax":
        return compile_on_jax(masking, shape)
    return lambda spectrograms: to_numpy(masking(spectrograms))


def corrupt(masking, spectrograms):
    return jit_on_jax(masking, spectrograms.shape)(spectrograms)


# A band spans a whole side, so what it covers is far more correlated than what a rectangle
# does: over the reference's 800 masks, the mean of a bin has itself a standard error of 0.017.
# The 600 replaced ones of the reference are nearly as few.
@pytest.mark.parametrize(
    ("statistics", "arguments", "number", "tolerance"),
    [
        ("208x128/align_1/drop_0.7", {"drop_ratio": 0.7}, 1000, 0.03),
        ("208x128/align_16/drop_0.7", {"drop_ratio": 0.7, "align": 16}, 600, 0.03),
        ("208x128/align_1/time_0.7", {"drop_ratio": 0.7, "kind": "time"}, 500, 0.06),
        ("208x128/align_1/freq_0.7", {"drop_ratio": 0.7, "kind": "freq"}, 500, 0.06),
        ("208x128/align_1/replace_0.3", {"replace_ratio": 0.3}, 600, 0.045),
        ("592x128/align_1/drop_0.7", {"drop_ratio": 0.7}, 300, 0.05),
    ],
)
def test_masks_are_distributed_as_the_reference(statistics, arguments, number, tolerance):
    expected = GOLDEN[statistics]
    frames, mels = map(int, statistics.split("/")[0].split("x"))
    replaced = float("replace_ratio" in arguments)
    masking = GroupMasking(**arguments, replace_probability=replaced, seed=3)
    masks = draw_masks(masking, number, frames, mels)
    shares = masks.mean(axis=(1, 2))

    assert abs(shares.mean() - expected["ratio_mean"]) < 0.01
    deciles = np.quantile(shares, np.arange(1, 10) / 10)
    np.testing.assert_allclose(deciles, expected["ratio_deciles"], atol=min(tolerance, 0.02))
    over_time, over_mel = masks.mean(axis=(0, 2)), masks.mean(axis=(0, 1))
    np.testing.assert_allclose(
        mean_of_bins(over_time), expected["coverage_over_time"], atol=tolerance
    )
    np.testing.assert_allclose(
        mean_of_bins(over_mel), expected["coverage_over_mel"], atol=tolerance
    )
    along_frames = run_lengths(masks[:, :, ::8].transpose(0, 2, 1))
    along_mels = run_lengths(masks[:, ::16])
    np.testing.assert_allclose(
        along_frames.mean(), expected["masked_run_frames_mean_std"][0], rtol=0.1
    )
    np.testing.assert_allclose(along_mels.mean(), expected["masked_run_mels_mean_std"][0], rtol=0.1)
    if "kind" not in arguments:  # Bands are the same in every line: far fewer independent runs.
        np.testing.assert_allclose(
            along_frames.std(), expected["masked_run_frames_mean_std"][1], rtol=0.1
        )


def test_every_mask_reaches_its_share_and_stops_there():
    masking = GroupMasking(drop_ratio=0.4, replace_probability=0.0, seed=1)
    shares = corrupt(masking, normal_spectrograms(16, 40, 24))[1].mean(axis=(1, 2))
    assert shares.min() >= 0.4
    # The last rectangle is at most 11 frames by 6 bins.
    assert shares.max() < 0.4 + 11 * 6 / (40 * 24)


def test_zeros_replace_what_is_masked_and_nothing_else_changes():
    spectrograms = normal_spectrograms(4, 2, 40, 24)
    corrupted, mask = corrupt(GroupMasking(replace_probability=0.0, seed=1), spectrograms)
    assert corrupted.shape == mask.shape == spectrograms.shape
    assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_array_equal(corrupted, spectrograms * (1 - mask))


def test_noise_is_standard_normal_and_nothing_else_changes():
    spectrograms = np.full((16, 40, 24), 100, "float32")
    masking = GroupMasking(kind="noise", replace_probability=0.0, seed=1)
    corrupted, mask = corrupt(masking, spectrograms)
    np.testing.assert_array_equal(corrupted[mask == 0], 100)
    noise = corrupted[mask == 1]
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
    assert len(np.unique(noise)) > 0.99 * len(noise)


def test_time_bands_span_all_mels():
    masking = GroupMasking(kind="time", replace_probability=0.0, seed=1)
    corrupted, mask = corrupt(masking, np.ones((8, 40, 24), "float32"))
    np.testing.assert_array_equal(mask, np.broadcast_to(mask[:, :, :1], mask.shape))
    np.testing.assert_array_equal(corrupted, 1 - mask)
    assert np.all((mask[:, :, 0].sum(axis=1) >= 20) & (mask[:, :, 0].sum(axis=1) < 40))


def test_freq_bands_span_all_frames():
    masking = GroupMasking(kind="freq", replace_probability=0.0, seed=1)
    corrupted, mask = corrupt(masking, np.ones((8, 40, 24), "float32"))
    np.testing.assert_array_equal(mask, np.broadcast_to(mask[:, :1], mask.shape))
    np.testing.assert_array_equal(corrupted, 1 - mask)
    assert np.all((mask[:, 0].sum(axis=1) >= 12) & (mask[:, 0].sum(axis=1) < 24))


def test_every_spectrogram_draws_one_of_several_kinds():
    masking = GroupMasking(kind=["noise", "time", "freq"], replace_probability=0.0, seed=1)
    corrupted, mask = corrupt(masking, np.full((60, 40, 24), 100, "float32"))
    is_noise = np.array([np.any(c[m == 1] != 0) for c, m in zip(corrupted, mask)])
    is_time = np.all(mask == mask[:, :, :1], axis=(1, 2))
    is_freq = np.all(mask == mask[:, :1], axis=(1, 2))
    np.testing.assert_array_equal(is_noise + is_time.astype(int) + is_freq, 1)
    assert min(is_noise.sum(), is_time.sum(), is_freq.sum()) > 8


def test_replaced_regions_show_the_same_region_of_the_same_view_of_another_clip():
    clips, views, frames, mels = 4, 2, 40, 24
    values = np.arange(clips * views * frames * mels, dtype="float32")
    spectrograms = values.reshape(clips, views, frames, mels)
    masking = GroupMasking(replace_probability=1.0, replace_ratio=0.6, seed=1)
    call = jit_on_jax(masking, spectrograms.shape)
    donors = set()
    for _ in range(12):
        corrupted, mask = call(spectrograms)
        np.testing.assert_array_equal(corrupted[mask == 0], spectrograms[mask == 0])
        # Every value says where it comes from.
        source = np.stack(np.unravel_index(corrupted.astype(int), spectrograms.shape))
        here = np.indices(spectrograms.shape)
        np.testing.assert_array_equal(source[1:], here[1:])
        for clip in range(clips):
            for view in range(views):
                masked = mask[clip, view] == 1
                (donor,) = np.unique(source[0, clip, view][masked])
                assert donor != clip
                donors.add((clip, int(donor)))
    assert len(donors) == clips * (clips - 1)


def test_replacement_happens_with_its_probability():
    masking = GroupMasking(replace_probability=0.25, seed=1)
    corrupted, mask = corrupt(masking, np.ones((400, 20, 20), "float32"))
    # Of spectrograms of ones, replaced ones stay ones.
    replaced = np.all(corrupted == 1, axis=(1, 2))
    assert mask.any(axis=(1, 2)).all()
    assert 0.25 - 0.09 < replaced.mean() < 0.25 + 0.09  # Four standard errors.
    assert mask[replaced].mean() < 0.4
    assert mask[~replaced].mean() > 0.5


def test_a_single_clip_is_dropped_from_and_never_replaced():
    masking = GroupMasking(replace_probability=1.0, seed=1)
    corrupted, mask = corrupt(masking, np.ones((1, 2, 40, 24), "float32"))
    np.testing.assert_array_equal(corrupted, 1 - mask)
    assert mask.mean(axis=(2, 3)).min() >= 0.5


def test_aligned_rectangles_have_corners_and_sides_on_the_grid():
    masking = GroupMasking(align=4, seed=1)
    mask = corrupt(masking, normal_spectrograms(8, 40, 24))[1]
    cells = mask[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_array_equal(mask, cells)


def test_no_share_means_no_mask():
    spectrograms = normal_spectrograms(4, 40, 24)
    masking = GroupMasking(drop_ratio=0.0, replace_ratio=0.0, seed=1)
    corrupted, mask = corrupt(masking, spectrograms)
    assert not mask.any()
    np.testing.assert_array_equal(corrupted, spectrograms)


def test_equal_seeds_give_equal_masks_and_every_call_another():
    spectrograms = normal_spectrograms(4, 40, 24)
    first, again = GroupMasking(seed=7), GroupMasking(seed=7)
    masks = [corrupt(layer, spectrograms)[1] for layer in (first, first, again, again)]
    np.testing.assert_array_equal(masks[0], masks[2])
    np.testing.assert_array_equal(masks[1], masks[3])
    assert np.any(masks[0] != masks[1])
    assert np.any(masks[0] != corrupt(GroupMasking(seed=8), spectrograms)[1])


def test_spectrograms_of_a_batch_get_different_masks():
    mask = corrupt(GroupMasking(seed=1), normal_spectrograms(4, 2, 40, 24))[1].reshape(8, -1)
    assert len(np.unique(mask, axis=0)) == 8


@pytest.mark.skipif(keras.config.backend() == "torch", reason="has no XLA")
def test_calls_compiled_by_xla_corrupt_and_draw_anew():
    spectrograms = normal_spectrograms(4, 2, 40, 24)
    masking = GroupMasking(kind=["zeros", "noise", "time"], seed=1)
    is_jax = keras.config.backend() == "jax"
    call = (compile_on_jax if is_jax else compile_on_tensorflow)(masking, spectrograms.shape)
    corrupted, mask = call(spectrograms)
    assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_array_equal(corrupted[mask == 0], spectrograms[mask == 0])
    assert np.all(corrupted[mask == 1] != spectrograms[mask == 1])
    assert np.any(mask != call(spectrograms)[1])


def test_functional_model_takes_any_batch_size_and_saves(tmp_path):
    inputs = keras.Input((2, 40, 24))
    model = keras.Model(inputs, GroupMasking(seed=1)(inputs))
    assert [tuple(output.shape) for output in model.outputs] == [(None, 2, 40, 24)] * 2
    for batch in (1, 4):
        spectrograms = normal_spectrograms(batch, 2, 40, 24)
        corrupted, mask = model.predict(spectrograms, verbose=0)
        np.testing.assert_array_equal(corrupted[mask == 0], spectrograms[mask == 0])
        assert mask.mean() > 0.25
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    # The state of the random numbers is saved too.
    for actual, expected in zip(
        loaded.predict(spectrograms, verbose=0), model.predict(spectrograms, verbose=0)
    ):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_has_the_masks_of_full_precision(policy):
    spectrograms = normal_spectrograms(4, 2, 40, 24)
    half_precision = GroupMasking(seed=1, dtype=policy)
    assert half_precision(keras.Input((2, 40, 24)))[0].dtype == policy.removeprefix("mixed_")
    expected, expected_mask = corrupt(GroupMasking(seed=1), spectrograms)
    corrupted, mask = corrupt(half_precision, spectrograms)
    np.testing.assert_array_equal(mask, expected_mask)
    np.testing.assert_allclose(corrupted, expected, rtol=0.01, atol=0.01)


def test_config_round_trip():
    assert_config_round_trip(
        GroupMasking(
            drop_ratio=0.6,
            kind=["noise", "freq"],
            replace_ratio=0.2,
            replace_probability=0.3,
            align=2,
            seed=5,
        )
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop_ratio": 0.95}, "`drop_ratio` must be a number between 0 and 0.9"),
        ({"drop_ratio": "0.7"}, "`drop_ratio` must be a number"),
        ({"replace_ratio": -0.1}, "`replace_ratio` must be a number between 0 and 0.9"),
        ({"replace_probability": 1.5}, "`replace_probability` must be a number between 0 and 1"),
        ({"kind": "blobs"}, "`kind` must be one of 'zeros', 'noise', 'time', 'freq'.*'blobs'"),
        ({"kind": None}, "`kind` must be one of"),
        ({"kind": 5}, "`kind` must be one of"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"kind": []}, "`kind` must name at least one"),
        ({"align": 0}, "`align` must be a positive integer"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupMasking(**arguments)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must have shape.*shape=\(40, 24\)"):
        GroupMasking()(ops.zeros((40, 24)))
    with pytest.raises(ValueError, match=r"frames and mels known"):
        GroupMasking()(keras.Input((None, 24)))
    with pytest.raises(ValueError, match=r"larger than `align`.*align=24"):
        GroupMasking(align=24)(ops.zeros((2, 40, 24)))


def test_shares_that_rectangles_cannot_reach_are_refused():
    with pytest.raises(ValueError, match="do not cover a share"):
        GroupMasking(align=64)(np.zeros((2, 592, 128), "float32"))


def test_seeds_may_be_integers_of_numpy():
    assert GroupMasking(seed=np.int64(3)).get_config()["seed"] == 3
