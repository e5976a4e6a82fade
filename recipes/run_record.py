"""What a run tells of itself in the model card of the presets that it leaves."""

import csv
import sys
from pathlib import Path


def add_license(group):
    group.add_argument("--license", help="of the weights, for their model card, such as cc-by-4.0")


def run_record(arguments, not_settings, *, data, table=None, results=None):
    """Return the record of a run, as `save_to_preset` takes it.

    Args:
        arguments: the parsed command line.
        not_settings: names of what is no setting of the training.
        data: dict. What it was trained on: its `"source"`, and numbers.
        table: path of a table with a row an epoch, whose last is told.
        results: dict. What was measured. Defaults to `None`.
    """
    settings = {name: value for name, value in vars(arguments).items() if name not in not_settings}
    record = {
        "name": arguments.output.resolve().name,
        "recipe": Path(sys.argv[0]).name,
        "license": arguments.license,
        "data": {name: without_folders(value) for name, value in data.items()},
        "settings": {
            name: without_folders(value) for name, value in settings.items() if value is not None
        },
        "last_epoch": last_row(table),
        "results": {name: value for name, value in (results or {}).items() if value is not None},
    }
    return {name: value for name, value in record.items() if value}


def without_folders(value):
    """Return a value; of a path only the name: where it is kept is nobody's business."""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(without_folders(item)) for item in value)
    is_path = isinstance(value, Path) or (isinstance(value, str) and "://" not in value)
    return Path(value).name if is_path else value


def last_row(table):
    """Return the last row of a table, numbers as such, or `None`."""
    if table is None or not table.exists():
        return None
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    row = {name: number(text) for name, text in rows[-1].items()} if rows else None
    # Tables count epochs from 0.
    return row and {**row, "epoch": row["epoch"] + 1}


def number(text):
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text
