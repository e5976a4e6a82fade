"""Tables of what was found in recordings: .csv, .parquet, .json, or labels of Audacity."""

import argparse
import csv
import itertools
import json
import os
from pathlib import Path

import lazy_loader
from recordings import name_of

keras_asit = lazy_loader.load("keras_asit")

# Without a suffix, a folder of Audacity's labels.
SUFFIXES = (".csv", ".parquet", ".json", ".txt", "")
ROWS_AT_ONCE = 10_000
KINDS = "in .csv, .parquet, .json or .txt (Audacity's labels), or be a folder of those"


def table_path(text):
    path = Path(text)
    if path.suffix not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"must end {KINDS}, not as {text}")
    return path


def check_table(output, paths):
    """Raise an error if the table cannot be written of so many recordings, or not here."""
    if output.suffix == ".txt" and len(paths) > 1:
        raise ValueError(
            f"{output} would hold Audacity's labels of one recording; for {len(paths)}, give a "
            "folder: a name without a suffix."
        )
    if output.suffix == ".parquet":
        import_parquet()


def import_parquet():
    with keras_asit._extras.of_extra("parquet"):
        import pyarrow.parquet
    return pyarrow


def write_lines(path, results):
    """Write (path of a recording, dict) as lines of JSON."""
    lines = [json.dumps({"path": name, **recording}) for name, recording in results]
    path.write_text("".join(f"{line}\n" for line in lines))


def read_lines(paths):
    """Yield the dicts in files of lines of JSON."""
    for path in paths:
        with path.open() as lines:
            yield from map(json.loads, lines)


def rows_of(recording):
    """Return the rows of a recording: its windows, its events, or the recording itself."""
    return recording.get("windows", recording.get("events", [recording]))


def write_table(recordings, output, columns):
    """Write recordings, dicts as JSON has them, as the output's suffix tells.

    `columns` are those of a table: strings but for times and what begins with probability or score.
    """
    if output.suffix in ("", ".txt"):
        write_audacity(recordings, output)
        return
    with keras_asit._files.replacing(output) as temporary:
        if output.suffix == ".json":
            lines = (json.dumps(recording) for recording in recordings)
            with temporary.open("w") as file:
                for index, line in enumerate(lines):
                    file.write(f"{',' if index else '['}\n{line}")
                file.write("\n]\n")
        elif output.suffix == ".csv":
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(flat_rows(recordings))
        else:
            write_parquet(recordings, temporary, columns)


def flat_rows(recordings):
    for recording in recordings:
        for row in rows_of(recording):
            cells = keras_asit.evaluation.labeling.flatten(row) if "labels" in row else row
            yield {"path": name_of(recording["path"]), **cells}


def write_parquet(recordings, path, columns):
    pyarrow = import_parquet()
    numbers = ("onset", "offset", "probability", "score")
    kinds = {
        name: pyarrow.float64() if name.startswith(numbers) else pyarrow.string()
        for name in columns
    }
    schema = pyarrow.schema(list(kinds.items()))
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        rows = flat_rows(recordings)
        while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pyarrow.Table.from_pylist(some, schema=schema))


def write_audacity(recordings, output):
    """Write Audacity's labels of one recording, or a file for each to a folder."""
    recordings = list(recordings)
    if output.suffix:
        keras_asit._files.write_whole(output, audacity_labels(recordings[0]).encode())
        return
    common = os.path.commonpath([os.path.dirname(recording["path"]) for recording in recordings])
    for recording in recordings:
        path = output / f"{os.path.relpath(recording['path'], common)}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        keras_asit._files.write_whole(path, audacity_labels(recording).encode())


def audacity_labels(recording):
    lines = []
    for row in rows_of(recording):
        labels = (f"{name} {value:.2f}" for name, value in row.get("labels", {}).items())
        text = row.get("label") or ", ".join(labels)
        lines.append(f"{row['onset']:.3f}\t{row['offset']:.3f}\t{' '.join(text.split())}\n")
    return "".join(lines)
