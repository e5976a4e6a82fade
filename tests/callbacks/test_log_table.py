"""`LogTable`: rows of epochs or of batches, cut back to a checkpoint."""

import csv

import pytest

from keras_asit.callbacks import LogTable


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def train_epoch(table, epoch, batches=4, first=0):
    """What `fit` tells a table in an epoch."""
    if first == 0:
        table.on_epoch_begin(epoch)
    for batch in range(first, batches):
        table.on_train_batch_end(batch, {"loss": batch / 2})
    table.on_epoch_end(epoch, {"loss": 1.5 + epoch})


def test_each_epoch_has_a_row(tmp_path):
    table = LogTable(tmp_path / "new" / "losses.csv")
    for epoch in range(2):
        train_epoch(table, epoch)
    assert rows(table.path) == [["epoch", "loss"], ["0", "1.5"], ["1", "2.5"]]


def test_every_so_many_batches_have_a_row(tmp_path):
    table = LogTable(tmp_path / "progress.csv", every_batches=2)
    train_epoch(table, 0)
    assert rows(table.path) == [["epoch", "batch", "loss"], ["0", "1", "0.5"], ["0", "3", "1.5"]]


def test_rows_after_a_checkpoint_are_taken_back(tmp_path):
    path = tmp_path / "progress.csv"
    table = LogTable(path, every_batches=2)
    table.on_epoch_begin(0)
    for batch in range(3):
        table.on_train_batch_end(batch, {"loss": batch / 2})
    state = table.get_state()
    table.on_train_batch_end(3, {"loss": 100.0})
    with open(path, "a") as file:
        file.write("0,5,half a r")

    again = LogTable(path, every_batches=2)
    again.on_epoch_begin(0)
    again.set_state(state)
    train_epoch(again, 0, first=3)
    assert rows(path) == [["epoch", "batch", "loss"], ["0", "1", "0.5"], ["0", "3", "1.5"]]


def test_batches_left_at_the_end_of_an_epoch_have_a_row_too(tmp_path):
    path = tmp_path / "progress.csv"
    table = LogTable(path, every_batches=3)
    table.on_epoch_begin(0)
    for batch in range(4):
        table.on_train_batch_end(batch, {"loss": batch / 2, "speed": 7.0})
    state = table.get_state()
    table.on_epoch_end(0, {"loss": 1.5, "speed": 8.0, "val_loss": 2.0})
    expected = [["epoch", "batch", "loss", "speed"], ["0", "2", "1.0", "7.0"]]
    expected.append(["0", "3", "1.5", "8.0"])
    assert rows(path) == expected

    # The checkpoint was saved after the last batch, which nobody knew to be the last.
    again = LogTable(path, every_batches=3)
    again.on_epoch_begin(0)
    again.set_state(state)
    again.on_epoch_end(0, {"loss": 1.5, "speed": 8.0})
    assert rows(path) == expected


def test_a_table_of_another_training_is_not_touched(tmp_path):
    path = tmp_path / "losses.csv"
    path.write_text("precious\n")
    with pytest.raises(FileExistsError, match="another training"):
        LogTable(path).get_state()
    assert path.read_text() == "precious\n"


def test_lost_rows_are_noticed(tmp_path):
    table = LogTable(tmp_path / "losses.csv")
    train_epoch(table, 0)
    state = table.get_state()
    table.path.unlink()
    with pytest.warns(UserWarning, match="has lost rows"):
        table.set_state(state)


def test_every_batches_is_checked(tmp_path):
    with pytest.raises(ValueError, match="every_batches"):
        LogTable(tmp_path / "table.csv", every_batches=0)
