"""Draw the curves of guides/size_and_length.md from the tables beside this file.

    python docs/images/curves.py

`distillation.csv` is the table of losses of `recipes/distill.py`; `finetuning.csv` has the accuracy
on the training clips of `recipes/benchmarks/finetuning.py`, a row an epoch of six steps, and
`labels.csv` its result.
"""

import csv
from pathlib import Path

import matplotlib.pyplot as plt

FOLDER = Path(__file__).parent
COLORS = {"from scratch": "tab:gray", "pre-trained": "tab:blue"}
plt.rcParams["svg.fonttype"] = "none"
plt.rcParams["svg.hashsalt"] = "the same file in every run"


def read(name):
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def save(figure, name):
    figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


def draw_distillation():
    rows = read("distillation")
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for name in [name for name in rows[0] if name != "epoch"]:
        epochs = [int(row["epoch"]) for row in rows]
        axis.plot(epochs, [float(row[name]) for row in rows], label=name)
    axis.set(xlabel="epoch", ylabel="loss", ylim=(0, 1))
    axis.legend()
    save(figure, "distillation")


def draw_finetuning():
    rows = read("finetuning")
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for start, color in COLORS.items():
        seeds = [row for row in rows if row["start"] == start]
        for seed in sorted({row["seed"] for row in seeds}):
            own = [row for row in seeds if row["seed"] == seed]
            steps = [6 * (1 + int(row["epoch"])) for row in own]
            label = start if seed == "0" else None
            axis.plot(steps, [float(row["accuracy"]) for row in own], color=color, label=label)
    axis.set(xlabel="step", ylabel="accuracy on training clips, %", ylim=(0, 100))
    axis.legend()
    save(figure, "finetuning")


def draw_labels():
    rows = read("labels")
    tasks = sorted({row["task"] for row in rows})
    figure, axes = plt.subplots(1, 2, figsize=(6, 3.2), sharey=True, layout="constrained")
    for axis, task in zip(axes, tasks):
        for start, color in COLORS.items():
            own = [row for row in rows if (row["task"], row["start"]) == (task, start)]
            labels = [row["labels"] for row in own]
            means, deviations = ([float(row[key]) for row in own] for key in ("mean", "deviation"))
            axis.errorbar(labels, means, deviations, color=color, label=start)
        axis.set(title=task, xlabel="labels a class", ylim=(0, 100))
    axes[0].set_ylabel("test accuracy, %")
    axes[0].legend(loc="lower right")
    save(figure, "labels")


if __name__ == "__main__":
    draw_distillation()
    draw_finetuning()
    draw_labels()
