"""Ours beside the original code: step, memory, prediction and loader, in one run, as a table.

    python recipes/benchmarks/overview.py ASiT > overview.md

Steps and predictions are those of `training_step.py`, at base, small and tiny; loaders are those of
`pipeline.py`, on one core, where a plain one stands for the original's, which needs torchaudio. All
take turns, and the fastest of each counts. Takes a quarter of an hour on two cores. Linux only.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import pipeline
import training_step

# Clips of a batch, whose activations take about the same memory.
CLIPS = {"base": 2, "small": 4, "tiny": 8}
TITLES = (
    "step",
    "of the rate",
    "first step",
    "memory",
    "times the original",
    "its memory",
    "views a second, predicted",
    "times the original",
)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("original", type=Path, help="a clone of the original code")
    parser.add_argument("--sizes", nargs="+", choices=CLIPS, default=CLIPS, help="(default: all)")
    parser.add_argument("--turns", type=int, default=3, help="of each (default: %(default)s)")
    arguments = parser.parse_args()
    rates = []
    print_row("", *TITLES)
    print_row(*["---"] * (1 + len(TITLES)))
    for size in arguments.sizes:
        flags = ["--size", size, "--clips", str(CLIPS[size]), "--turns", str(arguments.turns)]
        flags += ["--original", str(arguments.original)]
        results = training_step.measure(training_step.parse_arguments(flags))
        rates.append(results["rate"])
        print_size(size, results)
    print(f"\nMatrix product: {max(rates) / 1e9:.0f} GFLOP/s\n", flush=True)
    print_loaders(arguments.turns)


def print_size(size, results):
    flops, rows = results["flops"], results["rows"]
    original = rows["original"]
    for name, row in rows.items():
        title = f"{size}, {CLIPS[size]} clips ({flops / 1e9:.0f} GFLOP): {name}"
        print_row(
            title,
            f"{row['step']:.2f} s",
            f"{flops / row['step'] / results['rate']:.0%}",
            f"{row['first']:.0f} s",
            f"{row['peak'] / 2**30:.2f} GiB",
            f"{row['step'] / original['step']:.2f}",
            f"{row['peak'] / original['peak']:.2f}",
            f"{row['prediction']:.1f}",
            f"{row['prediction'] / original['prediction']:.2f}",
        )


def print_loaders(turns):
    with tempfile.TemporaryDirectory() as folder:
        paths = pipeline.write_clips(folder, number=64)
        ours = partial(pipeline.pretraining_passes, paths, 1, batch_size=16)
        loaders = {
            "plain loader": partial(pipeline.plain_passes, paths),
            "ours, spectrograms": partial(ours, spectrograms=True),
            "ours, waveforms": partial(ours, spectrograms=False),
        }
        cases = {(name, 1): passes for name, passes in loaders.items()}
        measured = [pipeline.measure_all(cases, seconds=6) for _ in range(turns)]
    rates = {name: max(each[name, 1][0] for each in measured) for name in loaders}
    print_row("loader, one core", "clips a second", "times the plain one")
    print_row(*["---"] * 3)
    for name, rate in rates.items():
        print_row(name, f"{rate:.0f}", f"{rate / rates['plain loader']:.2f}")


def print_row(*cells):
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
