"""What the recipes share: flags, and an end in one line."""

import argparse
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import command_line
import pytest
import tensorflow as tf
from command_line import ending_in_one_line, finite_number, number_between, recipe_parser

from keras_asit.callbacks import TrainingInterrupted
from keras_asit.evaluation import labeling
from keras_asit.layers import log_mel_filterbank, pooling
from keras_asit.models import presets

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(autouse=True)
def recipe(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["recipes/some.py"])


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (pooling, "POOLINGS"),
        (pooling, "DEFAULT_POOLING"),
        (labeling, "ROWS"),
        (log_mel_filterbank, "SHIFT_SECONDS"),
        (log_mel_filterbank, "WINDOW_SECONDS"),
    ],
)
def test_what_flags_know_of_the_package_is_so(module, name):
    assert getattr(command_line, name) == getattr(module, name)


def test_sizes_and_generations_are_those_of_the_package():
    assert tuple(presets.SIZES) == command_line.SIZES
    assert tuple(presets.GENERATIONS) == (1, 2)


@pytest.mark.parametrize("name", ["some.py", "asit-some"])
def test_the_help_tells_the_name_that_it_was_called_by(name, monkeypatch):
    monkeypatch.setattr(sys, "argv", [f"/somewhere/{name}"])
    text = recipe_parser("Do it.\n\n    python recipes/some.py SOUNDS\n").format_help()
    command = "asit-some" if name == "asit-some" else "python recipes/some.py"
    assert f"\n    {command} SOUNDS\n" in text
    assert text.startswith(f"usage: {name} ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_in_one_line_with_their_status(number, capsys):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]
    # A shell has its background processes ignore Ctrl-C.
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as exit, ending_in_one_line("It goes on."):
            signal.raise_signal(number)
    finally:
        signal.signal(signal.SIGINT, ctrl_c)
    assert exit.value.code == 128 + number
    assert capsys.readouterr().err == f"some.py: interrupted by {number.name}. It goes on.\n"
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_recipe_that_nobody_reads_ends_without_a_trace():
    code = (
        "from command_line import ending_in_one_line\n"
        "with ending_in_one_line('It goes on.'):\n"
        "    print('one', flush=True); input(); print('two')\n"
        "    print('three', flush=True)\n"
    )
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=RECIPES, text=True, **pipes)
    assert process.stdout.readline() == "one\n"
    process.stdout.close()
    _, errors = process.communicate("go on\n")
    assert process.returncode == 1
    lines = [line for line in errors.splitlines() if line.startswith("-c: ")]
    assert lines == ["-c: nobody reads what is printed any more. It goes on."]
    assert "Error" not in errors


def test_an_interrupted_training_says_where(capsys):
    with pytest.raises(SystemExit) as exit, ending_in_one_line("It goes on."):
        raise TrainingInterrupted("Saved.", signal.SIGTERM)
    assert exit.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "some.py: Saved. It goes on.\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("Unknown preset. Accepted:\n1) a name\n2) a folder"), "Unknown preset. "),
        (FloatingPointError("not finite"), "not finite"),
        (tf.errors.InvalidArgumentError(None, None, "Graph\nValueError: bad file\n[[]]"), "bad "),
        (LookupError("its own"), "its own"),
        (OSError(28, "No space", "a.npz"), "[Errno 28] No space: 'a.npz' Free space. It goes on."),
    ],
)
def test_errors_end_in_one_line(error, line):
    with (
        pytest.raises(SystemExit) as exit,
        ending_in_one_line("It goes on.", errors=(LookupError,)),
    ):
        raise error
    assert exit.value.code.startswith(f"some.py: {line}")
    assert len(exit.value.code.splitlines()) == 1


def test_errors_of_the_recipe_itself_are_not_hidden():
    with pytest.raises(TypeError), ending_in_one_line():
        raise TypeError


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-0.1", "1.5", "two"])
def test_numbers_are_finite_and_in_range(text):
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        number_between(0, 1)(text)
    if text not in ("1.5", "-0.1"):
        with pytest.raises((argparse.ArgumentTypeError, ValueError)):
            finite_number(text)
    assert number_between(0)("1.5") == finite_number("1.5") == 1.5


def test_a_warning_takes_one_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["recipes/label.py"])
    before = warnings.formatwarning
    with ending_in_one_line():
        line = warnings.formatwarning(UserWarning("One\nfile."), UserWarning, "module.py", 3)
    assert line == "label.py: One file.\n" and warnings.formatwarning is before
