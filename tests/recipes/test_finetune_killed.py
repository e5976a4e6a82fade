"""The recipe that fine-tunes, killed again and again at random moments."""

import functools
import random
from pathlib import Path

import data_set_layouts as layouts
import keras
import numpy as np
import pytest
from killed_recipes import (
    checkpoints_of,
    killed_again_and_again,
    start_recipe,
    wait_some_checkpoints,
)

RECIPE = Path(__file__).parents[2] / "recipes" / "finetune.py"
KILLS = 6
SMALL = {
    "hidden-dim": 16,
    "num-layers": 2,
    "num-heads": 2,
    "seconds": 0.355,
    "epochs": 12,
    "batch-size": 4,
    "learning-rate": 3e-3,
    "dropout": 0.2,
    "drop-path-rate": 0.2,
    "max-frames": 8,
    "max-mels": 4,
    "noise": 0.1,
    "max-shift": 4,
    "mixup": 0.5,
    "averaging": 0.9,
    "layer-decay": 0.8,
    "validation-share": 0.25,
    "save-every": 1,
    "verbose": 2,
}


@pytest.fixture
def start(tmp_path):
    """A function that starts the recipe with an output folder, on recordings of tones."""
    sounds = layouts.write_class_folders(tmp_path / "sounds", 20)
    (sounds / "cat" / "broken.wav").write_bytes(b"no audio")
    return functools.partial(start_recipe, RECIPE, sounds, settings=SMALL)


def weights_of(output):
    return keras.saving.load_model(output / "classifier.keras", compile=False).get_weights()


@pytest.mark.slow
def test_kills_change_no_weight(start, tmp_path):
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    assert start(uninterrupted).wait() == 0
    wait = functools.partial(wait_some_checkpoints, output=killed, generator=random.Random(1))
    for kill in killed_again_and_again(start, killed, KILLS, wait):
        print(f"kill {kill}: {sorted(checkpoints_of(killed))}")
        assert not (killed / "report.json").exists()
    for weight, expected in zip(weights_of(killed), weights_of(uninterrupted), strict=True):
        np.testing.assert_array_equal(weight, expected)
    for name in ("epochs.csv", "report.json", "classes.csv"):
        assert (killed / name).read_bytes() == (uninterrupted / name).read_bytes()
