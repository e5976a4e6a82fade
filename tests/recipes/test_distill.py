"""The recipe that teaches a backbone what other networks make of recordings."""

import argparse
import csv
from pathlib import Path

import data_set_layouts
import h5py
import numpy as np
import pytest
import tensorflow as tf
from distill import Windows, read_teachers, standardized
from embed_peers import cepstra, windows_of

from keras_asit.models import ASiTAudioConverter, ASiTBackbone

RECIPE = Path(__file__).parents[2] / "recipes" / "distill.py"
SMALL = ["--num-layers", 1, "--num-heads", 1, "--hidden-dim", 8, "--batch-size", 4]


@pytest.fixture
def tones(tmp_path):
    """Tones of 0.4 s from low to high, and one of 1.5 s."""
    paths = [tmp_path / f"{index}.wav" for index in range(9)]
    for index, path in enumerate(paths):
        data_set_layouts.write_tone(path, 0.5 * index, seconds=1.5 if index == 8 else 0.4)
    return list(map(str, paths))


@pytest.fixture
def teachers(tones, tmp_path):
    """A file of windows of two teachers, which tell the pitch and how far from the middle it is."""
    path = tmp_path / "teachers.npz"
    pitches = np.linspace(-1, 1, 9)[:, None] * np.ones(3)
    np.savez(
        path, path=tones, start=np.zeros(9), pitch=pitches.astype("float16"), distance=abs(pitches)
    )
    return path


@pytest.mark.slow
def test_a_preset_learns_what_teachers_say(teachers, tmp_path, run_here):
    flags = ["--epochs", 30, "--learning-rate", 0.01, "--keep", 2, 30, *SMALL]
    printed = run_here(teachers, "--output", tmp_path / "run", *flags)
    assert "Preset in" in printed
    rows = list(csv.DictReader((tmp_path / "run" / "epochs.csv").open()))
    assert {"pitch_loss", "distance_loss"} <= {*rows[0]}
    assert len(rows) == 30
    assert float(rows[-1]["pitch_loss"]) < 0.3 < float(rows[0]["pitch_loss"])
    preset = str(tmp_path / "run" / "preset")
    backbone = ASiTBackbone.from_preset(preset)
    assert backbone.patch_size == (4, 128)
    assert {weight.dtype for weight in backbone.weights} == {"float32"}
    with h5py.File(Path(preset) / "model.weights.h5") as file:
        dtypes = set()
        file.visititems(lambda _, item: dtypes.add(getattr(item, "dtype", None)))
    # The states of random generators are whole numbers.
    assert {dtype for dtype in dtypes if dtype and dtype.kind == "f"} == {np.dtype("float16")}
    assert ASiTAudioConverter.from_preset(preset).num_frames == 96
    kernels = [
        ASiTBackbone.from_preset(str(tmp_path / "run" / name)).get_weights()[0]
        for name in ("epoch-2", "epoch-30", "preset")
    ]
    assert (kernels[1] == kernels[2]).all()
    assert (kernels[0] != kernels[2]).any()
    assert "exists" not in run_here(teachers, "--output", tmp_path / "run", *flags)


def test_windows_are_where_teachers_saw_them(tones):
    converter = ASiTAudioConverter(num_frames=32)
    windows = Windows(np.array([tones[8]] * 2 + tones[:1]), np.array([0.0, 0.5, 0.2]), converter)
    arguments = argparse.Namespace(seed=1, gain=0.0, batch_size=3)
    targets = {"row": tf.range(3.0)[:, None]}
    start = argparse.Namespace(epoch=0, batch=0)
    ((spectrograms, rows),) = windows.batches(targets, start, arguments)
    order = rows["row"].numpy()[:, 0].astype(int)
    assert sorted(order) == [0, 1, 2]
    for spectrogram, row in zip(spectrograms.numpy(), order):
        first, end = windows.firsts[row], windows.ends[row]
        assert end - first == (18 if row == 2 else 32)  # Of 0.4 s, half is left, less a frame's.
        expected = converter.normalize(windows.frames[first:end].numpy())
        # Half precision is 0.003 off where there is no energy.
        np.testing.assert_allclose(spectrogram[: end - first], expected, atol=1e-3)
        assert np.ptp(spectrogram[end - first :]) == 0 if row == 2 else True


def test_recordings_that_cannot_be_read_leave_their_windows_out(tones, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    with pytest.warns(UserWarning, match="broken.wav"):
        windows = Windows(
            np.array([str(broken), tones[0]]), np.zeros(2), ASiTAudioConverter(num_frames=32)
        )
    assert windows.rows.tolist() == [1]


def test_paths_may_be_relative(tones, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    windows = Windows(np.array(["0.wav"]), np.zeros(1), ASiTAudioConverter(num_frames=32))
    assert windows.rows.tolist() == [0]


@pytest.mark.parametrize("start", [-0.1, 0.5])
def test_windows_beyond_their_recording_are_refused(tones, start):
    with pytest.raises(ValueError, match=r"1 windows start where .* have no sound, .*0.wav"):
        Windows(np.array(tones[:1]), np.array([start]), ASiTAudioConverter(num_frames=32))


def test_says_in_one_line_that_windows_do_not_fill_a_batch(teachers, tmp_path, complaint):
    printed = complaint(teachers, "--output", tmp_path / "run", *SMALL, "--batch-size", 10)
    assert "9 windows do not fill a batch; lower --batch-size, 10" in printed


@pytest.mark.slow
def test_other_teachers_do_not_go_on_from_a_checkpoint(teachers, tmp_path, run_here, complaint):
    flags = ["--output", tmp_path / "run", "--epochs", 1, *SMALL]
    run_here(teachers, *flags)
    arrays = dict(np.load(teachers))
    np.savez(teachers, **{**arrays, "pitch": -arrays["pitch"]})
    assert "Repeat it as it was, or choose another folder" in complaint(teachers, *flags)


def test_targets_have_mean_0_and_variance_1_but_for_what_is_constant_or_rare():
    values = np.stack([np.arange(100.0), np.ones(100), np.eye(100)[0]], axis=1)
    targets = standardized(values).numpy()
    # They have half precision.
    np.testing.assert_allclose(targets.mean(axis=0, dtype=float)[:2], 0, atol=1e-4)
    np.testing.assert_allclose(targets.std(axis=0, dtype=float)[:2], [1, 0], atol=1e-4)
    assert targets[0, 2] == 5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"path": ["a"], "teacher": np.ones((1, 2))}, "must have the arrays `path` and `start`"),
        ({"path": ["a"], "start": [0.0]}, "and one a teacher"),
        ({"path": ["a"], "start": [[0.0]], "x": np.ones((1, 2))}, "`start` .* must be finite"),
        ({"path": ["a"], "start": [np.nan], "x": np.ones((1, 2))}, "`start` .* must be finite"),
        ({"path": ["a"], "start": [0.0], "x": np.ones(1)}, "'x' .* shape=\\(1,\\)"),
        ({"path": ["a"], "start": [0.0], "x": np.ones((2, 2))}, "1 windows as in `path`"),
        ({"path": ["a"], "start": [0.0], "x": np.full((1, 2), np.nan)}, "must be finite"),
    ],
)
def test_teachers_that_do_not_fit_are_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "teachers.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_teachers(tmp_path / "teachers.npz")


def test_teachers_hear_windows_that_start_evenly(tones):
    arguments = argparse.Namespace(max_seconds=30.0, seconds=0.5, overlap=0.5)
    long, short = windows_of(tones[8], arguments), windows_of(tones[0], arguments)
    assert [start for start, _ in long] == [0, 0.25, 0.5, 0.75, 1.0]
    ((start, window),) = short
    assert (start, len(window)) == (0, 6400)


def test_cepstra_tell_pitch_and_movement_but_not_loudness():
    seconds, noise = np.arange(6400) / 16000, np.random.default_rng(0).normal(0, 0.01, 6400)
    low, high = (np.sin(2 * np.pi * pitch * seconds) + noise for pitch in (300, 3000))
    # The lowest mel bin has no frequency of its own and stays at its floor.
    np.testing.assert_allclose(cepstra(low / 4), cepstra(low), atol=2)
    rising, falling = cepstra(np.append(low, high)), cepstra(np.append(high, low))
    steady = cepstra(low)
    assert len(steady) == 8 * 48 - 1
    # Over time, the second coefficient of each is the difference of early and late.
    second = slice(47, 95)
    assert np.abs(steady[second]).max() < 2 < 10 < np.abs(rising[second]).max()
    np.testing.assert_allclose(rising[second], -falling[second], atol=2)
    assert np.abs(cepstra(high) - steady).max() > 10
