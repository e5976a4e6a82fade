"""Recipes on several devices and in several processes: what they leave is what one device leaves.

Of a processor, each backend makes as many devices as are asked for.
"""

import csv
import signal
import time
from pathlib import Path

import data_set_layouts as layouts
import keras
import numpy as np
import pytest
import soundfile
from killed_recipes import SMALL_PRETRAINER, checkpoints_of, start_recipe
from processes import free_ports

RECIPE = Path(__file__).parents[2] / "recipes" / "pretrain.py"
FINETUNE = RECIPE.with_name("finetune.py")
SMALL = {**SMALL_PRETRAINER, "epochs": 6, "save-every": 2}
CLASSIFIER = {
    "hidden-dim": 16,
    "num-layers": 2,
    "num-heads": 2,
    "seconds": 0.355,
    "epochs": 2,
    "batch-size": 4,
    "drop-path-rate": 0.2,
    "max-frames": 8,
    "max-mels": 4,
    "validation-share": 0.25,
}
# XLA, which TensorFlow goes without on several devices, rounds in another way, and Adam blows that
# up where gradients are next to 0.
TOLERANCE = {"rtol": 1e-2 if keras.config.backend() == "tensorflow" else 1e-4}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of recordings of noise."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(1)
    for index in range(13):
        soundfile.write(folder / f"{index}.wav", generator.uniform(-0.5, 0.5, 8000), 16000)
    return folder


def columns(path):
    """Return numbers by the names of columns of a table, but for what tells of time."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = set(rows[0]) - {"clips_per_second", "hours_left", "waiting_share"}
    return {name: np.array([float(row[name]) for row in rows]) for name in names}


def assert_same_table(path, other):
    one, two = columns(path), columns(other)
    for name in one:
        np.testing.assert_allclose(one[name], two[name], **TOLERANCE, err_msg=name)


@pytest.fixture(scope="module")
def one(recordings, tmp_path_factory):
    """What one device in one process leaves."""
    output = tmp_path_factory.mktemp("one") / "run"
    assert start_recipe(RECIPE, recordings, output, SMALL).wait() == 0
    return output


@pytest.mark.slow
def test_two_devices_leave_what_one_leaves(one, recordings, tmp_path):
    two = tmp_path / "two"
    assert start_recipe(RECIPE, recordings, two, {**SMALL, "devices": 2}, anew=True).wait() == 0
    assert_same_table(one / "losses.csv", two / "losses.csv")
    assert (two / "report.html").exists()
    loss = keras.saving.load_model(two / "pretrainer.keras").evaluate(
        {"clean": np.zeros((2, 2, 16, 128), "float32")}, return_dict=True, verbose=0
    )
    assert np.isfinite(loss["loss"])


@pytest.mark.slow
def test_classifiers_of_two_devices_are_those_of_one(tmp_path):
    sounds = layouts.write_class_folders(tmp_path / "sounds", 20)
    runs = [
        start_recipe(FINETUNE, sounds, tmp_path / str(number), {**CLASSIFIER, "devices": number})
        for number in (1, 2)
    ]
    assert [run.wait() for run in runs] == [0, 0]
    assert_same_table(tmp_path / "1" / "epochs.csv", tmp_path / "2" / "epochs.csv")


@pytest.mark.slow
def test_where_a_process_is_killed_the_other_ends_and_any_number_goes_on(one, recordings, tmp_path):
    two = tmp_path / "two"
    processes = begun_in_two_processes(recordings, two)
    processes[1].kill()
    assert processes[0].wait(timeout=60) != 0
    assert "start all of them again" in (tmp_path / "two.log").read_text()

    assert [process.wait() for process in in_two_processes(recordings, two, SMALL)] == [0, 0]
    assert_same_table(one / "losses.csv", two / "losses.csv")
    # The second process leaves nothing.
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_began(one, recordings, tmp_path):
    two = tmp_path / "two"
    processes = begun_in_two_processes(recordings, two)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=60) for process in processes] == [128 + signal.SIGTERM] * 2
    assert start_recipe(RECIPE, recordings, two, SMALL).wait() == 0
    assert_same_table(one / "losses.csv", two / "losses.csv")


def in_two_processes(recordings, output, settings):
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [
        start_recipe(RECIPE, recordings, output, {**settings, "hosts": hosts, "host-index": index})
        for index in range(2)
    ]


def begun_in_two_processes(recordings, output):
    """Start both, and return them when they are under way, long before the last epoch."""
    processes = in_two_processes(recordings, output, SMALL)
    while len(checkpoints_of(output)) < 3:
        assert processes[0].poll() is None
        # Nothing but the files of another process tells how far it is.
        time.sleep(0.01)
    return processes


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--devices", "none"], "--devices: must be a number or all, not none"),
        (["--hosts", "here"], "--hosts: must be HOST:PORT,HOST:PORT, and so on, not here"),
        (["--hosts", "a:1,b:1", "--host-index", 2], "--host-index must be below the number"),
        (["--hosts", "a:1,b:1", "--shards", 2], "--shards is for one process of JAX"),
        (["--batch-size", 4, "--accumulate", 3], "--batch-size must be a multiple of 3"),
    ],
)
def test_flags_that_cannot_be_are_told(complaint, recordings, tmp_path, flags, message):
    assert message in complaint(recordings, "--output", tmp_path / "run", *flags)
