"""`Checkpoints`: a training that stops anywhere goes on as if it had not."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import small_training
from small_training import Died, StopAfter, batches_of, die, train, write_recordings

from keras_asit.callbacks import Checkpoints, TrainingInterrupted

pytestmark = [
    pytest.mark.filterwarnings("ignore:Skipped 1 of"),
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio") / "recordings"
    write_recordings(folder)
    return folder


@pytest.fixture(scope="module")
def expected(recordings, tmp_path_factory):
    """The losses of a training that is never interrupted."""
    return train(recordings, tmp_path_factory.mktemp("uninterrupted"))


def assert_goes_on(losses, expected, first):
    """Assert that a training begins with batch `first` and has the expected losses from there."""
    assert min(losses.batches) == first
    assert losses.batches == {at: log for at, log in expected.batches.items() if at >= first}
    assert losses.epochs == {at: log for at, log in expected.epochs.items() if at >= first[0]}


# --- Going on ---


@pytest.mark.parametrize(
    ("save_freq", "died_after", "goes_on_at"),
    [(2, 3, (0, 2)), (2, 10, (1, 4)), ("epoch", 7, (1, 0))],
)
def test_losses_are_those_of_a_training_that_was_never_interrupted(
    recordings, expected, tmp_path, save_freq, died_after, goes_on_at
):
    with pytest.raises(Died):
        train(recordings, tmp_path, StopAfter(died_after, die), save_freq=save_freq)
    losses = train(recordings, tmp_path, StopAfter(100, die), save_freq=save_freq)
    assert_goes_on(losses, expected, goes_on_at)


def test_an_epoch_ends_as_it_should_if_the_checkpoint_was_saved_after_its_last_batch(
    recordings, expected, tmp_path
):
    class DieAtTheEndOfTheEpoch(StopAfter):
        def on_epoch_end(self, epoch, logs=None):
            self.on_train_batch_end(0)

    with pytest.raises(Died):
        train(recordings, tmp_path, DieAtTheEndOfTheEpoch(12, die), save_freq=5)
    losses = train(recordings, tmp_path, DieAtTheEndOfTheEpoch(100, die), save_freq=5)
    assert min(losses.batches) == (2, 0)
    assert losses.epochs == {epoch: expected.epochs[epoch] for epoch in (1, 2)}


@pytest.mark.slow
def test_killed_while_writing_a_checkpoint_it_goes_on_from_the_one_before(
    recordings, expected, tmp_path
):
    tests, package = Path(__file__).parents[1], Path(__file__).parents[2]
    path = os.pathsep.join([str(tests), str(package)])
    killed = subprocess.run(
        [sys.executable, small_training.__file__, recordings, tmp_path],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(tmp_path.glob(".*.partial"))
    losses = train(recordings, tmp_path, StopAfter(100, die))
    assert_goes_on(losses, expected, (1, 0))
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.slow
def test_a_finished_training_is_not_trained_on(recordings, expected, tmp_path):
    train(recordings, tmp_path)
    assert not train(recordings, tmp_path).batches


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_save_after_the_batch_and_say_so(recordings, expected, tmp_path, number, capsys):
    send = StopAfter(3, lambda: os.kill(os.getpid(), number))
    handler = signal.getsignal(number)
    with pytest.raises(TrainingInterrupted, match="Saved after batch 3 of epoch 1") as interrupted:
        train(recordings, tmp_path, send, save_freq="epoch")
    assert interrupted.value.signal_number == number
    assert "saving after this batch" in capsys.readouterr().out
    assert signal.getsignal(number) == handler
    assert_goes_on(train(recordings, tmp_path, StopAfter(100, die)), expected, (0, 3))


def test_callbacks_of_keras_go_on_too(recordings, tmp_path):
    def plateau():
        return keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=2, min_delta=100)

    whole, first, rest = plateau(), plateau(), plateau()
    train(recordings, tmp_path / "whole", whole, epochs=2)
    with pytest.raises(Died):
        train(recordings, tmp_path / "run", first, StopAfter(8, die), epochs=2)
    train(recordings, tmp_path / "run", rest, StopAfter(100, die), epochs=2)
    assert (whole.wait, whole.best) == (rest.wait, rest.best)


def test_the_best_weights_that_a_callback_holds_go_on_too(recordings, tmp_path):
    def stopping():
        # The loss of noise grows.
        return keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)

    whole, first, rest = stopping(), stopping(), stopping()
    train(recordings, tmp_path / "whole", whole)
    with pytest.raises(Died):
        train(recordings, tmp_path / "run", first, StopAfter(8, die))
    train(recordings, tmp_path / "run", rest, StopAfter(100, die))
    assert rest.best_epoch == whole.best_epoch == 0
    for a, b in zip(whole.model.get_weights(), rest.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# --- What is kept ---


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_and_the_best_are_kept(recordings, expected, tmp_path):
    losses = [logs["loss"] for _, logs in sorted(expected.epochs.items())]
    best = int(np.argmax(losses))
    train(recordings, tmp_path, save_freq="epoch", keep=1, mode="max")
    kept = {f"checkpoint-{best + 1:06d}-000000000.npz", "checkpoint-000003-000000000.npz"}
    assert set(names(tmp_path)) == kept


def damage_by_a_bit(checkpoint):
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)


def cut(checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-10])


def empty(checkpoint):
    checkpoint.write_bytes(b"")


@pytest.fixture(scope="module")
def stopped(recordings, tmp_path_factory):
    """Checkpoints of a training that died in its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Died):
        train(recordings, folder, StopAfter(8, die))
    return folder


def test_an_older_damaged_checkpoint_is_set_aside_and_stops_nothing(
    recordings, expected, stopped, tmp_path
):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    oldest = names(tmp_path)[0]
    cut(tmp_path / oldest)
    with pytest.warns(UserWarning, match="Damaged checkpoint: .* It is set aside"):
        losses = train(recordings, tmp_path, StopAfter(100, die))
    assert_goes_on(losses, expected, (1, 2))
    assert f"damaged-{oldest}" in names(tmp_path)


def test_a_checkpoint_may_be_damaged_twice(recordings, expected, stopped, tmp_path):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "checkpoint-000001-000000002.npz"
    shutil.copy(newest, tmp_path / f"damaged-{newest.name}")
    cut(newest)
    with pytest.warns(UserWarning, match="Damaged checkpoint"):
        losses = train(recordings, tmp_path, StopAfter(100, die))
    assert_goes_on(losses, expected, (1, 0))


def test_a_second_training_in_the_folder_is_refused(recordings, tmp_path):
    def train_too():
        with pytest.raises(OSError, match="in use by another process"):
            train(recordings, tmp_path)
        die()

    with pytest.raises(Died):
        train(recordings, tmp_path, StopAfter(3, train_too))


@pytest.mark.parametrize("damage", [damage_by_a_bit, cut, empty])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(
    recordings, expected, stopped, tmp_path, damage
):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    assert names(tmp_path)[-1] == "checkpoint-000001-000000002.npz"
    damage(tmp_path / "checkpoint-000001-000000002.npz")
    with pytest.warns(UserWarning, match="Damaged checkpoint: .*000001-000000002.npz"):
        losses = train(recordings, tmp_path, StopAfter(100, die))
    assert_goes_on(losses, expected, (1, 0))


def test_a_run_does_not_start_anew_where_all_checkpoints_are_damaged(recordings, stopped, tmp_path):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    for checkpoint in tmp_path.iterdir():
        cut(checkpoint)
    with pytest.raises(ValueError, match=r"All checkpoints in .* are damaged"):
        train(recordings, tmp_path)


def test_an_error_while_writing_leaves_the_checkpoints_before(recordings, tmp_path, monkeypatch):
    def no_space(_):
        raise OSError(28, "No space left on device")

    fill = StopAfter(6, lambda: monkeypatch.setattr(os, "fsync", no_space))
    with pytest.raises(OSError, match="No space left"):
        train(recordings, tmp_path, fill)
    assert names(tmp_path)[-1] == "checkpoint-000001-000000000.npz"
    assert not list(tmp_path.glob(".*.partial"))


@pytest.fixture
def small_disk(tmp_path):
    """A folder that is a file system of 4 MiB; only root can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None or mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", disk):
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", disk], check=True)


def mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True).returncode


def fill(disk):
    with contextlib.suppress(OSError), open(disk / "fill", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize(
    ("spoil", "mend", "message"),
    [
        (fill, lambda disk: (disk / "fill").unlink(), "No space left on device"),
        (
            lambda disk: mount("-o", "remount,ro", disk),
            lambda disk: mount("-o", "remount,rw", disk),
            "Read-only file system",
        ),
    ],
)
def test_a_disk_that_takes_no_more_costs_no_checkpoint(
    recordings, expected, small_disk, spoil, mend, message
):
    folder = small_disk / "run"
    with pytest.raises(OSError, match=rf"{message}: '.*checkpoint-000001-000000002"):
        train(recordings, folder, StopAfter(6, lambda: spoil(small_disk)))
    assert names(folder)[-1] == "checkpoint-000001-000000000.npz"
    mend(small_disk)
    losses = train(recordings, folder, StopAfter(100, die))
    assert_goes_on(losses, expected, (1, 0))


def test_a_state_that_is_not_finite_is_not_saved(recordings, tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.variables[0].assign(self.model.variables[0] * np.nan)

    with pytest.raises(FloatingPointError, match="not finite; not saved"):
        train(recordings, tmp_path, Spoil(), save_freq="epoch")
    assert names(tmp_path) == ["checkpoint-000000-000000000.npz"]


# --- Before the first batch ---


def test_too_little_space_is_found_before_the_first_batch(recordings, tmp_path):
    with pytest.raises(OSError, match=r"has room for .* GiB"):
        train(recordings, tmp_path, StopAfter(1, die), keep=10**12)


def test_a_folder_that_cannot_be_written_is_found_before_the_first_batch(recordings, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        train(recordings, tmp_path / "file", StopAfter(1, die))


def test_so_is_one_that_could_be_written_once(recordings, stopped, tmp_path, monkeypatch):
    def read_only(_):
        raise OSError(30, "Read-only file system")

    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(os, "fsync", read_only)
    with pytest.raises(OSError, match="Read-only"):
        train(recordings, tmp_path, StopAfter(1, die))
    assert names(tmp_path) == names(stopped)


def test_another_training_is_not_continued(recordings, stopped):
    with pytest.raises(ValueError, match="learning_rate was None, is 1"):
        train(recordings, stopped, StopAfter(1, die), settings={"learning_rate": 1})
    with pytest.raises(ValueError, match="`callbacks` must be those"):
        train(recordings, stopped)
    other = keras.Sequential([keras.Input((3200,)), keras.layers.Dense(4, use_bias=False)])
    other.compile("adam", "mse")
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(ValueError, match="other variables"):
        Checkpoints(stopped).fit(other, batches_of(recordings), epochs=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"save_freq": 0}, "save_freq"),
        ({"save_freq": "batch"}, "save_freq"),
        ({"keep": 0}, "keep"),
        ({"mode": "auto"}, "mode"),
    ],
)
def test_arguments_are_checked(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Checkpoints(tmp_path, **arguments)


def test_the_best_is_that_of_the_same_model(stopped):
    other = keras.Sequential([keras.Input((3200,)), keras.layers.Dense(8)])
    before = other.get_weights()
    with pytest.raises(ValueError, match="of a model with other variables"):
        Checkpoints(stopped, monitor="loss").load_best(other)
    np.testing.assert_array_equal(other.get_weights()[0], before[0])


def test_a_training_goes_on_with_its_number_of_epochs_only(recordings, stopped):
    with pytest.raises(ValueError, match="epochs was 3, is 4"):
        train(recordings, stopped, epochs=4)


def test_what_is_monitored_must_be_a_log(recordings, tmp_path):
    with pytest.raises(ValueError, match="`monitor` must be a log of the epoch: loss"):
        train(recordings, tmp_path, monitor="accuracy")
