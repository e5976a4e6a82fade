"""What pre-training brings to fine-tuning: from a preset against from scratch, the same budget.

    python recipes/benchmarks/finetuning.py PRESET --data DATA

Tasks are those of `features.py`, read from the same folders. Each is learned from so many labels a
class, with so many steps, by `recipes/finetune.py`: from the weights of the preset, and from random
weights of the same network. Seeds choose the labels, the weights and the order. The learning rate
from scratch is that of the recipe for spoken digits; what is learned already moves less. What is
finished is not trained again.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

from feature_tasks import TASKS, read_task
from features import draw, number_of_labels, positive_integer, print_row, summarize

RECIPE = Path(__file__).parents[1] / "finetune.py"
STARTS = {
    "from scratch": ["--from-scratch", "--learning-rate", "1e-3"],
    "pre-trained": ["--learning-rate", "5e-4", "--layer-decay", "0.75"],
}
# Of the recipe for spoken digits, what does not depend on their length.
FLAGS = "--schedule cosine --mixup 0.2 --noise 0.1 --max-shift 8 --max-frames 8 --max-mels 16"
FLAGS += " --weight-decay 0.05 --dropout 0.1 --validation-share 0 --save-every 1000000 --verbose 0"


def main():
    arguments = parse_arguments()
    try:
        compare(arguments)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"finetuning.py: {error}")


def compare(arguments):
    print_row(
        "task", *(f"{number or 'all'} labels, {start}" for number, start in columns(arguments))
    )
    print_row(*["---"] * (1 + len(columns(arguments))))
    for name in arguments.tasks:
        task = read_task(name, arguments.data).readable()
        cells = [
            [accuracy(task, number, start, seed, arguments) for seed in range(arguments.seeds)]
            for number, start in columns(arguments)
        ]
        print_row(name, *map(summarize, cells))


def columns(arguments):
    return [(number, start) for number in arguments.labels for start in STARTS]


def accuracy(task, number, start, seed, arguments):
    """Return the accuracy of a run, which is trained unless its report is there."""
    part = "validation" if arguments.validation else "test"
    name = f"{task.name}-{part}-{number or 'all'}-{start.replace(' ', '-')}-{seed}"
    folder = arguments.output / name
    if not (folder / "report.json").exists():
        train, measured = task.divide(arguments.validation)
        chosen = draw(task.labels, train, number, seed)
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(task, chosen, folder / "train.csv")
        write_manifest(task, measured, folder / "test.csv")
        batch = min(arguments.batch_size, len(chosen))
        epochs = max(1, round(arguments.steps / (len(chosen) // batch)))
        numbers = {"--seed": seed, "--batch-size": batch, "--epochs": epochs}
        numbers["--warmup-steps"] = arguments.steps // 10
        flags = [*FLAGS.split(), *STARTS[start], *map(str, sum(numbers.items(), ()))]
        flags += ["--preset", arguments.preset, "--pooling", arguments.pooling]
        flags += ["--test", folder / "test.csv", "--output", folder]
        subprocess.run([sys.executable, RECIPE, folder / "train.csv", *flags], check=True)
    return json.loads((folder / "report.json").read_text())["accuracy"]


def write_manifest(task, indices, path):
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        rows.writerows(
            (Path(task.paths[index]).absolute(), task.labels[index]) for index in indices
        )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("preset", metavar="PRESET", help="name or folder")
    add("--data", type=Path, default=Path("data"), help="of data sets (default: %(default)s)")
    add(
        "--tasks",
        nargs="+",
        choices=TASKS,
        default=["fsdd-digits", "wake-words"],
        help="(default: %(default)s)",
    )
    add("--pooling", default="mel_rows_and_deviation", help="(default: %(default)s)")
    add(
        "--labels",
        nargs="+",
        type=number_of_labels,
        default=[10, 50, None],
        metavar="NUMBER",
        help="a class, or all (default: 10 50 all)",
    )
    add("--steps", type=positive_integer, default=300, help="(default: %(default)s)")
    add("--batch-size", type=positive_integer, default=16, help="clips (default: %(default)s)")
    add("--seeds", type=positive_integer, default=3, help="(default: %(default)s)")
    add("--validation", action="store_true", help="measure on validation clips, not on test clips")
    add("--output", type=Path, default=Path("runs/finetuning"), help="(default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
