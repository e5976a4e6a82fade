"""What frozen features are worth, beside features that take no training and those of others.

    python recipes/benchmarks/features.py --data DATA --preset runs/small/teacher --peers PEERS
    python recipes/benchmarks/features.py --data DATA --preset a --preset b --tasks drums \\
        --labels 10 --validation

One table, tasks x features: averages of the log-mels, the presets, each beside the same network
with weights at random, and published networks (`feature_peers.py` says what is looked for in
PEERS). `feature_tasks.py` says what tasks there are, and in which folders of DATA; of tasks and
peers that are not there it is said why.

A logistic probe and the nearest neighbor by cosine similarity read features standardized by the
clips to train on: all of them, or so many of each class. Seeds choose which, the same for all
features, and the weights of untrained networks; a number without deviation depends on neither.
The probe's regularization is chosen by cross-validation among these clips, and is 1, scikit-learn's
default, for one a class. With --validation, clips of the training part are measured and the test
clips are not touched: so choose whatever is to be chosen.

Features and accuracies are kept in a cache, so that a row more costs only itself. The table is
printed as Markdown, and written to --output with every seed's accuracy.
"""

import argparse
import csv
import functools
import itertools
import sys
from pathlib import Path

import numpy as np
from feature_extractors import Cache, asit, averages, digest, embed, peers, small_untrained
from feature_tasks import TASKS, read_task

import keras_asit
from keras_asit.layers.pooling import DEFAULT_POOLING, POOLINGS

# Where a class has one clip, nothing can be held out to choose it.
REGULARIZATION = 1.0


def main():
    arguments = parse_arguments()
    try:
        compare(arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"features.py: {error}")


def compare(arguments):
    """Measure all features on all tasks; print the table and write its numbers."""
    tasks = read_tasks(arguments)
    cache = Cache(arguments.cache)
    table = {}
    for features in list_features(arguments):
        for task in tasks:
            cells = measure(features, task, cache, arguments)
            table[task.name, features.name] = cells
            print(task.name, features.name, *map(summarize, cells.values()), file=sys.stderr)
    print_table(table, tasks, arguments)
    if arguments.output:
        write_table(table, arguments.output)


def read_tasks(arguments):
    tasks = []
    for name in arguments.tasks:
        try:
            tasks.append(read_task(name, arguments.data).readable())
        except (ValueError, OSError) as error:
            print(f"Without {name}: {error}", file=sys.stderr)
    if not tasks:
        raise ValueError(f"None of the tasks can be read from {arguments.data}.")
    return tasks


def list_features(arguments):
    features = averages()
    pooling = {"pooling": arguments.pooling, "blocks": arguments.blocks}
    for preset in arguments.preset:
        features.extend(asit(preset, **pooling))
    if not arguments.preset:
        features.append(small_untrained(**pooling))
    if arguments.peers:
        found, missing = peers(arguments.peers)
        features.extend(found)
        for name, reason in missing.items():
            print(f"Without {name}: {reason}", file=sys.stderr)
    return features


def measure(features, task, cache, arguments):
    """Return lists of accuracies, one a seed, by method and number of labels.

    A number that no class has more clips than is left out: it is as good as all.
    """
    train, test = task.divide(arguments.validation)
    largest = np.unique(task.labels[train], return_counts=True)[1].max()
    seeds = range(arguments.seeds)
    cells = {(method, number): [] for method in METHODS for number in arguments.labels}
    for number in arguments.labels:
        if number and number >= largest:
            continue
        for seed in seeds if number or features.seeded else seeds[:1]:
            vectors = embed(features, task, seed, cache)
            chosen = draw(task.labels, train, number, seed)
            sets = [values[part] for part in (chosen, test) for values in (vectors, task.labels)]
            for method, accuracy in METHODS.items():
                compute = functools.partial(accuracy, *sets, seed)
                value = cache.get(compute, method, digest(*sets), seed)
                cells[method, number].append(float(value))
    return cells


def draw(labels, train, number, seed):
    """Return at most `number` of the clips in `train` of each class, drawn with the seed."""
    shuffled = np.random.default_rng(seed).permutation(train)
    members = [shuffled[labels[shuffled] == name][:number] for name in np.unique(labels[train])]
    return np.sort(np.concatenate(members))


def probe(features, labels, test_features, test_labels, seed):
    single = np.unique(labels, return_counts=True)[1].min() == 1
    return keras_asit.evaluation.linear_probe_accuracy(
        features,
        labels,
        test_features=test_features,
        test_labels=test_labels,
        regularization=REGULARIZATION if single else None,
        seed=seed,
    )


def neighbor(features, labels, test_features, test_labels, seed):
    test = {"test_features": test_features, "test_labels": test_labels}
    return keras_asit.evaluation.neighbor_accuracy(features, labels, **test)


METHODS = {"probe": probe, "1-NN": neighbor}


def print_table(table, tasks, arguments):
    """Print a row for each task and features, and for each features the mean over tasks."""
    columns = [(method, number) for method in METHODS for number in arguments.labels]
    print_row("task", "features", *(f"{method}, {number or 'all'}" for method, number in columns))
    print_row(*["---"] * (2 + len(columns)))
    features = list(dict.fromkeys(name for _, name in table))
    for task in tasks:
        train, test = task.divide(arguments.validation)
        titles = [f"{task.name}: {len(set(task.labels))} classes, {len(train)}/{len(test)} clips"]
        for title, name in itertools.zip_longest(titles, features, fillvalue=""):
            print_row(title, name, *map(summarize, table[task.name, name].values()))
    titles = [f"mean of {len(tasks)} tasks"]
    for title, name in itertools.zip_longest(titles, features, fillvalue=""):
        rows = [table[task.name, name].values() for task in tasks]
        # A task that lacks a number lacks it for all features.
        means = [[np.mean(cell) for cell in column if cell] for column in zip(*rows)]
        print_row(
            title, name, *(summarize([np.mean(column)] if column else []) for column in means)
        )


def print_row(*cells):
    print("|", " | ".join(cells), "|")


def summarize(accuracies):
    """Return the mean in percent and, of several, the standard deviation."""
    if not accuracies:
        return "-"
    spread = f" ± {100 * np.std(accuracies, ddof=1):.1f}" if len(accuracies) > 1 else ""
    return f"{100 * np.mean(accuracies):.1f}{spread}"


def write_table(table, path):
    """Write a row for every accuracy of every seed."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["task", "features", "method", "labels", "seed", "accuracy"])
        for (task, features), cells in table.items():
            for (method, number), accuracies in cells.items():
                for seed, accuracy in enumerate(accuracies):
                    rows.writerow([task, features, method, number or "all", seed, accuracy])


def number_of_labels(text):
    if text == "all":
        return None
    return positive_integer(text)


def positive_integer(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return int(text)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("data"), help="of data sets (default: %(default)s)")
    add("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="(default: all)")
    add("--preset", action="append", default=[], help="name or folder; may be given several times")
    add("--pooling", choices=POOLINGS, default=DEFAULT_POOLING, help="(default: %(default)s)")
    add(
        "--blocks",
        type=int,
        nargs="+",
        help="blocks to pool, -1 the last (default: an early one and the last)",
    )
    add("--peers", type=Path, help="folder of published networks")
    add(
        "--labels",
        nargs="+",
        type=number_of_labels,
        default=[None, 10, 1],
        metavar="NUMBER",
        help="a class, or all (default: all 10 1)",
    )
    add("--seeds", type=positive_integer, default=5, help="(default: %(default)s)")
    add("--validation", action="store_true", help="measure on validation clips, not on test clips")
    add("--cache", type=Path, default=Path("runs/features"), help="(default: %(default)s)")
    add("--output", type=Path, help="table of all accuracies, .csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
