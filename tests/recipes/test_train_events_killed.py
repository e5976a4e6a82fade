"""The recipe that trains event detectors, killed again and again at random moments."""

import functools
import random
from pathlib import Path

import keras
import numpy as np
import pytest
from data_set_layouts import write_events
from killed_recipes import killed_again_and_again, start_recipe, wait_some_checkpoints

RECIPE = Path(__file__).parents[2] / "recipes" / "train_events.py"
KILLS = 3
SMALL = {
    "hidden-dim": 16,
    "num-layers": 2,
    "num-heads": 2,
    "seconds": 0.5,
    "epochs": 8,
    "batch-size": 4,
    "learning-rate": 3e-3,
    "drop-path-rate": 0.2,
    "mixup": 0.5,
    "max-shift": 0.3,
    "averaging": 0.9,
    "layer-decay": 0.8,
    "validation-share": 0.25,
    "save-every": 1,
    "verbose": 2,
}


@pytest.mark.slow
def test_kills_change_no_weight(tmp_path):
    table = write_events(tmp_path / "recordings", 8) / "events.tsv"
    (table.parent / "broken.wav").write_bytes(b"no audio")
    table.write_text(table.read_text() + "\nbroken.wav\t0.5\t1.0\tcat\n")
    start = functools.partial(start_recipe, RECIPE, table, settings=SMALL)
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    assert start(uninterrupted).wait() == 0
    wait = functools.partial(wait_some_checkpoints, output=killed, generator=random.Random(1))
    for _ in killed_again_and_again(start, killed, KILLS, wait):
        assert not (killed / "report.json").exists()
    first, second = (
        keras.saving.load_model(output / "detector.keras", compile=False)
        for output in (uninterrupted, killed)
    )
    for weight, expected in zip(second.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert second.get_config()["thresholds"] == first.get_config()["thresholds"]
    for name in ("epochs.csv", "report.json", "classes.csv"):
        assert (killed / name).read_bytes() == (uninterrupted / name).read_bytes()
