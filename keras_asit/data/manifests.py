"""Manifests as files of text, tables and JSON, in the forms that people have them in."""

import contextlib
import csv
import json
import os

# What separates the cells of a table.
DELIMITERS = (",", ";", "\t")


@contextlib.contextmanager
def open_manifest(path):
    """Open a manifest; of what cannot be read in it as text, CSV or JSON, say which file it is."""
    if not os.path.isfile(path):
        raise ValueError(f"Manifest {os.fspath(path)!r} does not exist; check the path.")
    # Spreadsheets put a byte order mark in front, which utf-8-sig drops.
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            yield file
        except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
            form = f"valid {os.path.splitext(path)[1][1:].upper()}"
            if isinstance(error, UnicodeDecodeError):
                form = "UTF-8 text; save it so"
            raise ValueError(f"Manifest {path!r} is not {form}: {error}") from None


def uncommented(lines, folder):
    """Return lines, empty ones in the place of comments.

    Those start with `#`, and in `folder` there is no file of the name in front.
    """

    def is_file(line):
        name = line.replace(";", ",").replace("\t", ",").split(",")[0].strip()
        return os.path.isfile(os.path.join(folder, name))

    return ["\n" if line.startswith("#") and not is_file(line) else line for line in lines]


def read_lines(lines):
    """Return the lines of a text file without blanks around them, empty ones left out."""
    return [line.strip() for line in lines if line.strip()]


def read_json(file, labeled):
    """Return (path, labels) of each clip in JSON of AST's form: a str, or a list of strs."""
    content = json.load(file)
    try:
        rows = [(clip["wav"], clip["labels"] if labeled else "") for clip in content["data"]]
    except (TypeError, KeyError):
        rows = [(None, None)]
    # Indices of classes are their names, as they are in tables.
    rows = [(path, [labels] if isinstance(labels, int) else labels) for path, labels in rows]
    if not all(
        isinstance(path, str)
        and isinstance(labels, (str, list))
        and all(isinstance(label, (str, int)) for label in labels)
        for path, labels in rows
    ):
        form = '"wav": path, "labels": "a,b" or ["a", "b"]' if labeled else '"wav": path'
        raise ValueError(
            f'Manifest {file.name!r} must have the form {{"data": [{{{form}}}, ...]}}.'
        )
    return [
        (path, labels if isinstance(labels, str) else [str(label).strip() for label in labels])
        for path, labels in rows
    ]


def read_columns(file, *columns, folder=""):
    """Return the cells of each row of a table, the first of which must not be empty.

    Each of `columns` is a tuple of names, of which the first that the file has is read, in any
    case. What commas without quotes add to a row belongs to its last cell, unless that is of the
    first of `columns`; see `uncommented` for `folder`.
    """
    lines = uncommented(file, folder)
    for delimiter in DELIMITERS:
        # Strict, or a quote without its fellow would take in all rows below.
        rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
        header = [name.lower() for name in _trimmed(next(filter(any, rows), []))]
        chosen = [next((name for name in names if name in header), None) for names in columns]
        if None not in chosen:
            break
    else:
        accepted = ", ".join(" or ".join(names) for names in columns)
        header = [line.strip() for line in lines if line.strip()][:1] or ["none"]
        raise ValueError(
            f"Manifest {file.name!r} must have a header with the columns {accepted}. "
            f"Its columns: {header[0]}"
        )
    places = [header.index(name) for name in chosen]
    last, table = len(header) - 1, []
    for row in rows:
        cells = _trimmed(row) + [""] * len(header)
        beyond = _trimmed(cells[last:])
        # Whether blanks were behind the commas is lost, which labels can do without.
        if len(beyond) > 1 and (places[0] == last or places[-1] not in (0, last)):
            raise ValueError(
                f"Line {rows.line_num} of manifest {file.name!r} has more cells than the "
                f"{len(header)} columns of the header; put texts with {delimiter!r} in quotes. "
                f"Received: {delimiter.join(row)!r}"
            )
        cells[last] = ", ".join(beyond)
        if any(cells):
            table.append([cells[place] for place in places])
            if not table[-1][0]:
                raise ValueError(
                    f"Line {rows.line_num} of manifest {file.name!r} is empty in column "
                    f"{chosen[0]!r}; fill it in or delete the line."
                )
    return table


def _trimmed(cells):
    """Return cells without blanks around them, and without the empty ones at the end."""
    cells = [cell.strip() for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    return cells
