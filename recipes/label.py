"""Label recordings: what a classifier hears in them.

    python recipes/label.py RECORDINGS --preset asit_base_16k_audioset_weak --output labels.csv
    python recipes/label.py RECORDINGS --preset runs/sounds/preset --windows 10 --overlap 0.5
    python recipes/label.py one.wav two.mp3 --preset runs/sounds/classifier.keras --output -

RECORDINGS are folders, searched whole, .txt, .csv, .tsv or .json manifests, or audio files. The
classifier is one that finetune.py saved (as preset or .keras), or AudioSet's tagger, by its preset
or its published file (ASIT_weak.pt). A recording longer than a window is cut into windows: a row is
a recording, with the mean or maximum of their probabilities, or, with --windows, a window.

The output is a table (.csv, .parquet), .json, Audacity's labels of one recording (.txt) or of each
in a folder (no suffix), or - for one line of JSON a recording on standard output. But for the last,
the same command goes on where it was interrupted. Choose the backend with KERAS_BACKEND.
"""

import contextlib
import json
import sys
import warnings
from pathlib import Path

import lazy_loader
from command_line import (
    ROWS,
    WINDOW_SECONDS,
    ending_in_one_line,
    number_between,
    overlap,
    positive_integer,
    recipe_parser,
    share,
)
from recordings import (
    Parts,
    check_absent,
    fingerprint,
    list_unreadable,
    load_task,
    read_recordings,
)
from tables import check_table, read_lines, table_path, write_lines, write_table

keras_asit = lazy_loader.load("keras_asit")

STANDARD_OUTPUT = "-"
# What changes no label: the paths and the weights are compared themselves.
NOT_SETTINGS = ("sources", "preset", "output", "batch_size")


def main():
    arguments = parse_arguments()
    # All of them are listed at the end.
    warnings.filterwarnings("ignore", message="Skipped")
    with ending_in_one_line("The same command goes on from the last whole part."):
        if arguments.output == STANDARD_OUTPUT:
            lines = sys.stdout
            # Nothing but the labels goes there.
            with contextlib.redirect_stdout(sys.stderr):
                print_labels(arguments, lines)
        else:
            write_labels(arguments)


def print_labels(arguments, lines):
    paths = read_recordings(arguments.sources)
    readable = []
    for index, recording in label(load_classifier(arguments), paths, arguments):
        readable.append(paths[index])
        print(json.dumps({"path": paths[index], **recording}), file=lines, flush=True)
    list_unreadable(paths, readable)


def write_labels(arguments):
    paths = read_recordings(arguments.sources)
    check_absent(arguments.output)
    check_table(arguments.output, paths)
    classifier = load_classifier(arguments)
    settings = {name: value for name, value in vars(arguments).items() if name not in NOT_SETTINGS}
    parts = Parts(
        paths,
        arguments.output,
        fingerprint(classifier, paths, settings),
        size=arguments.part_size,
        suffix=".jsonl",
    )
    files = parts.work(lambda some: label(classifier, some, arguments), write_lines)
    readable = [recording["path"] for recording in read_lines(files)]
    list_unreadable(paths, readable)
    labeling = keras_asit.evaluation.labeling
    columns = ["path", *labeling.label_columns(min(arguments.top, classifier.num_classes))]
    write_table(read_lines(files), arguments.output, columns)
    parts.clear()
    print(f"{len(readable)} of {len(paths)} recordings labeled in {arguments.output}")


def load_classifier(arguments):
    return load_task(
        arguments.preset,
        keras_asit.models.ASiTAudioClassifier,
        keras_asit.conversion.load_classifier,
    )


def label(classifier, paths, arguments):
    """Yield (index, what JSON tells of it) of each readable recording."""
    options = {"rows": arguments.rows, "overlap": arguments.overlap, "at_least": 0}
    options |= {"window_seconds": arguments.windows, "batch_size": arguments.batch_size}
    limits = {"top": arguments.top, "threshold": arguments.threshold}
    label_spans = keras_asit.evaluation.labeling.label_spans
    for index, spans in label_spans(classifier, paths, **limits, **options):
        yield index, {"windows": spans} if arguments.rows == "window" else spans[0]


def output_path(text):
    return text if text == STANDARD_OUTPUT else table_path(text)


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    add("sources", metavar="RECORDINGS", nargs="+", help="folders, manifests, audio files")
    add("--preset", required=True, help="of a classifier: name, folder, handle, .keras or .pt file")
    add("--output", type=output_path, default=Path("labels.csv"), help="(default: %(default)s)")
    add("--windows", type=number_between(WINDOW_SECONDS), help="seconds (default: the network's)")
    add("--rows", choices=ROWS, help="(default: window with --windows, else mean)")
    for flag, type, default, help in (
        ("--top", positive_integer, 5, "classes of a row"),
        ("--threshold", share, 0.0, "of probability; what is below is left out"),
        ("--overlap", overlap, 0.0, "of windows"),
        ("--batch-size", positive_integer, 32, "windows at once"),
        ("--part-size", positive_integer, 32, "recordings a part"),
    ):
        add(flag, type=type, default=default, help=f"{help} (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.rows = arguments.rows or ("window" if arguments.windows else "mean")
    return arguments


if __name__ == "__main__":
    main()
