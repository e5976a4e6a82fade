"""What a run tells of itself in a model card."""

import argparse
from pathlib import Path

import pytest
from run_record import last_row, run_record


@pytest.fixture
def arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/home/me/.venv/bin/asit-finetune"])
    return argparse.Namespace(
        output=Path("runs/pets"),
        license=None,
        preset="/home/me/runs/small/teacher",
        audio_folder=Path("/home/me/sounds"),
        mask_kind=["zeros", "/home/me/noise"],
        epochs=3,
        fold=None,
        keep=2,
    )


def test_a_record_has_settings_and_what_was_measured(arguments, tmp_path):
    table = tmp_path / "epochs.csv"
    table.write_text("epoch,loss,note\n0,0.5,a\n1,0.25,b\n")
    data = {"source": "/home/me/sounds/pets.csv", "clips": 5}
    record = run_record(
        arguments,
        ("keep", "output", "license"),
        data=data,
        table=table,
        results={"accuracy": 0.5, "d_prime": None},
    )
    assert record == {
        "name": "pets",
        "recipe": "asit-finetune",
        "data": {"source": "pets.csv", "clips": 5},
        "settings": {
            "preset": "teacher",
            "audio_folder": "sounds",
            "mask_kind": "zeros, noise",
            "epochs": 3,
        },
        "last_epoch": {"epoch": 2, "loss": 0.25, "note": "b"},
        "results": {"accuracy": 0.5},
    }
    assert "/home" not in str(record)


def test_a_handle_of_a_hub_stays_whole(arguments):
    arguments.preset, arguments.license = "hf://somebody/asit", "mit"
    record = run_record(arguments, (), data={"source": "records"})
    assert record["settings"]["preset"] == "hf://somebody/asit"
    assert record["license"] == "mit"
    assert not {"last_epoch", "results"} & record.keys()


def test_without_rows_there_is_no_last_one(tmp_path):
    assert last_row(tmp_path / "no.csv") is None
    (tmp_path / "empty.csv").write_text("epoch,loss\n")
    assert last_row(tmp_path / "empty.csv") is None
