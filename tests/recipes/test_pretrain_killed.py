"""The pre-training recipe, killed again and again at random moments."""

import csv
import functools
import random
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
from killed_recipes import SMALL_PRETRAINER, killed_again_and_again, start_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "pretrain.py"
KILLS = 20
EPOCHS = 30
SMALL = {**SMALL_PRETRAINER, "epochs": EPOCHS, "log-every": 1, "save-every": 2}


@pytest.fixture
def start(tmp_path):
    """A function that starts the recipe with an output folder, on recordings of noise."""
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    generator = np.random.default_rng(1)
    for index in range(26):
        soundfile.write(recordings / f"{index}.wav", generator.uniform(-0.5, 0.5, 8000), 16000)
    (recordings / "7_broken.wav").write_bytes(b"no audio")
    return functools.partial(start_recipe, RECIPE, recordings, settings=SMALL)


def losses(output):
    """Return epoch, batch and losses of every whole row of the table of batches."""
    path = output / "progress.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        whole = [line for line in file if line.endswith("\n")]
    names = ("epoch", "batch", "loss", "global_loss", "local_loss", "reconstruction_loss")
    return [tuple(row[name] for name in names) for row in csv.DictReader(whole)]


def wait_some_batches(process, output, generator):
    rows = len(losses(output))
    # One in five is killed while it starts.
    deadline = time.monotonic() + (generator.uniform(0, 20) if generator.random() < 0.2 else 300)
    while process.poll() is None and time.monotonic() < deadline:
        if len(losses(output)) != rows:
            time.sleep(generator.uniform(0, 2))
            break
        time.sleep(0.01)


@pytest.mark.slow
def test_twenty_kills_change_no_loss_and_no_weight(start, tmp_path):
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    assert start(uninterrupted).wait() == 0
    expected = losses(uninterrupted)
    assert len(expected) == 6 * EPOCHS

    wait = functools.partial(wait_some_batches, output=killed, generator=random.Random(1))
    for kill in killed_again_and_again(start, killed, KILLS, wait):
        rows = losses(killed)
        unfinished = len(list((killed / "checkpoints").glob(".*.partial")))
        print(f"kill {kill}: {len(rows)} batches, {unfinished} unfinished checkpoints")
        assert rows == expected[: len(rows)]
    assert losses(killed) == expected
    weights = [
        keras.saving.load_model(folder / "pretrainer.keras").get_weights()
        for folder in (uninterrupted, killed)
    ]
    for actual, wanted in zip(*weights, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    tables = [(folder / "losses.csv").read_bytes() for folder in (uninterrupted, killed)]
    assert tables[0] == tables[1]
