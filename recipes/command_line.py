"""What the recipes' command lines have in common: types of flags, and errors in one line."""

import argparse


def positive_integer(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


def integer_from_zero(text):
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value


def overlap(text):
    value = float(text)
    if not 0 <= value <= 0.9:
        raise argparse.ArgumentTypeError(f"must be between 0 and 0.9, not {text}")
    return value


def line_of(error):
    """Return what Python said in an input pipeline of TensorFlow, or else the first line."""
    lines = error.message.splitlines()
    mark = "ValueError: "
    return [*(line.removeprefix(mark) for line in lines if line.startswith(mark)), *lines][0]
