"""The pre-training recipe on a handful of made recordings."""

import csv
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_asit.models import ASiTBackbone

RECIPE = Path(__file__).parents[2] / "recipes" / "pretrain.py"
SMALL = ["--size", "tiny", "--batch-size", "4", "--crop-seconds", "0.5", "--class-prototypes", "32"]
CROPS = ["--local-crops", "1", "--local-crop-seconds", "0.3"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of eight seconds-long recordings, one of them unreadable."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(1)
    for index in range(8):
        soundfile.write(folder / f"{index}.wav", generator.uniform(-0.5, 0.5, 16000), 16000)
    (folder / "broken.wav").write_bytes(b"no audio")
    return folder


def command(*arguments):
    return [sys.executable, str(RECIPE), *map(str, arguments)]


def run(*arguments):
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=RECIPE.parents[1]
    )


def losses(output):
    with open(output / "losses.csv", newline="") as file:
        return [(int(row["epoch"]), row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_pretrains_and_leaves_presets_logs_and_checkpoints(recordings, tmp_path):
    finished = run(
        recordings, *SMALL, "--epochs", 1, "--generation", 2, *CROPS, "--output", tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    assert "Skipped 1 of 9 audio files" in finished.stderr
    for preset in ("student", "teacher"):
        backbone = ASiTBackbone.from_preset(str(tmp_path / preset))
        assert backbone.spectrogram_shape == (48, 128)
    assert [epoch for epoch, _ in losses(tmp_path)] == [0]
    assert (tmp_path / "pretrainer.keras").exists()
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


@pytest.mark.slow
def test_goes_on_from_the_last_epoch_after_being_killed(recordings, tmp_path):
    arguments = [recordings, *SMALL, "--epochs", 4, "--output", tmp_path]
    process = subprocess.Popen(
        command(*arguments),
        cwd=RECIPE.parents[1],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ},
    )
    table = tmp_path / "losses.csv"
    while process.poll() is None and not (table.exists() and len(losses(tmp_path)) >= 1):
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()

    finished = run(*arguments)
    assert finished.returncode == 0, finished.stderr
    assert "Epoch 1/4" not in finished.stdout
    assert [epoch for epoch, _ in losses(tmp_path)][-1] == 3


def complaint(monkeypatch, capsys, *arguments):
    """Run the recipe in this process; return the last line that it leaves with."""
    monkeypatch.setattr(sys, "argv", ["pretrain.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(RECIPE), run_name="__main__")
    printed = capsys.readouterr().err if exit.value.code == 2 else exit.value.code
    return printed.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "100"], "do not fill one batch"),
        (["--drop-ratio", "1.5"], "`drop_ratio` must be a number between 0 and 0.9"),
        (["--batch-size", "0"], "must be at least 1"),
        (["--size", "huge"], "invalid choice"),
    ],
)
def test_says_in_one_line_what_is_wrong_with_a_flag(
    recordings, flags, message, monkeypatch, capsys
):
    assert message in complaint(monkeypatch, capsys, recordings, *SMALL, *flags)


def test_says_in_one_line_that_a_folder_has_no_audio(tmp_path, monkeypatch, capsys):
    assert str(tmp_path) in complaint(monkeypatch, capsys, tmp_path)


def test_help_names_every_constant_of_the_method(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pretrain.py", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(RECIPE), run_name="__main__")
    printed = capsys.readouterr().out
    for flag in ("--drop-ratio", "--teacher-momentum", "--final-weight-decay", "--local-crops"):
        assert flag in printed
