"""Read a whole collection of recordings and write down what is wrong with which of them.

    python recipes/check_audio.py RECORDINGS --output report.csv --workers 8

RECORDINGS is a folder, searched whole, or a .txt, .csv or .json manifest. The report has a row a
file, in order, whose columns `keras_asit.data.check_audio` describes. Processes share the work: a
file that crashes the decoder, or takes longer than --timeout, has the verdict "crashed" or "timed
out", and one at which the decoder printed an error is "damaged". The report appears when it is
complete. Exit status is 0 only if every verdict is "ok".
"""

import collections
import csv
import os
import sys
from pathlib import Path

import lazy_loader
from command_line import ending_in_one_line, number_between, positive_integer, recipe_parser

keras_asit = lazy_loader.load("keras_asit")


def main():
    arguments = parse_arguments()
    with ending_in_one_line():
        verdicts = check(arguments)
    for verdict, paths in sorted(verdicts.items(), key=lambda item: -len(item[1])):
        named = "" if verdict == "ok" else f": {keras_asit._arguments.name_some(paths)}"
        print(f"{len(paths):9,} {verdict}{named}")
    print(f"{sum(map(len, verdicts.values())):9,} files; see {arguments.output}")
    sys.exit(0 if set(verdicts) <= {"ok"} else 1)


def check(arguments):
    """Write the report; return the paths by verdict."""
    import keras

    if arguments.output.is_dir():
        raise IsADirectoryError(f"--output must be a file, but {arguments.output} is a folder")
    paths = keras_asit.data.read_manifest(arguments.source)
    limits = {"num_workers": arguments.workers, "timeout": arguments.timeout}
    outcomes = keras_asit.data.checking.isolated_map(keras_asit.data.check_audio, paths, **limits)
    interval = 0.1 if sys.stdout.isatty() else 10
    progress = keras.utils.Progbar(len(paths), unit_name="file", interval=interval)
    verdicts = collections.defaultdict(list)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    # Names that are not UTF-8 are escaped, so that any program can read the report.
    text = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    with (
        keras_asit._files.replacing(arguments.output) as partial,
        partial.open("w", **text) as file,
    ):
        report = csv.DictWriter(file, keras_asit.data.checking.COLUMNS)
        report.writeheader()
        for number, (path, (record, failure)) in enumerate(zip(paths, outcomes), start=1):
            record = record or failed(path, failure)
            if failure and record["verdict"] == "ok":
                record |= {"verdict": "damaged", "why": failure}
            report.writerow(record)
            verdicts[record["verdict"]].append(path)
            progress.update(number)
    return verdicts


def failed(path, failure):
    """Return the record of a file whose check did not come to an end."""
    verdict = failure if failure in ("crashed", "timed out") else "unreadable"
    return {"path": path, "verdict": verdict, "unreadable": True, "why": failure}


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    default = "(default: %(default)s)"
    add("source", metavar="RECORDINGS", help="folder or manifest")
    add("--output", type=Path, default=Path("report.csv"), help=default)
    cores, seconds = os.cpu_count(), number_between(0.001)
    add("--workers", type=positive_integer, default=cores, help=f"processes {default}")
    add("--timeout", type=seconds, default=300.0, help=f"seconds a file {default}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
