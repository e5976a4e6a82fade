"""Recipes that are killed again and again."""

import os
import time

from recipe_processes import start_process

# Settings of the recipe that pre-trains.
SMALL_PRETRAINER = {
    "size": "tiny",
    "hidden-dim": 16,
    "num-layers": 2,
    "num-heads": 2,
    "batch-size": 4,
    "crop-seconds": 0.3,
    "num-class-prototypes": 16,
    "num-patch-prototypes": 8,
    "projection-hidden-dim": 16,
    "projection-bottleneck-dim": 8,
    "reconstruction-hidden-dim": 16,
    "reconstruction-bottleneck-dim": 8,
}


def start_recipe(recipe, source, output, settings, *, anew=False):
    """Start a recipe with an output folder, beside which it leaves a log."""
    flags = [text for name, value in settings.items() for text in (f"--{name}", value)]
    command = [recipe, source, *flags, "--output", output]
    return start_process(command, output.with_suffix(".log"), anew=anew)


def killed_again_and_again(start, output, kills, wait):
    """Kill a recipe once `wait(process)` is over, yield after each kill, then let it end."""
    for kill in range(1, kills + 1):
        process = start(output)
        wait(process)
        process.kill()
        process.wait()
        yield kill
    assert start(output, anew=True).wait() == 0


def checkpoints_of(output):
    """Return the names of what is in the folder of checkpoints."""
    folder = output / "checkpoints"
    return set(os.listdir(folder)) if folder.is_dir() else set()


def wait_some_checkpoints(process, output, generator):
    """Wait until a process has written, or writes, a checkpoint."""
    before, deadline = checkpoints_of(output), time.monotonic() + 300
    checkpoints = generator.randrange(1, 12)
    while process.poll() is None and time.monotonic() < deadline and checkpoints:
        if checkpoints_of(output) != before:
            before, checkpoints = checkpoints_of(output), checkpoints - 1
        time.sleep(generator.uniform(0, 0.002))
