"""The recipes as commands of an installation, `asit-label` and others: the same code.

`asit-label` anywhere does what `python recipes/label.py` does in a clone.
"""

import functools
import importlib
import sys
from pathlib import Path


def run(recipe):
    """Run a recipe; what it imports beside it is found first, as where `python` runs its file."""
    sys.path.insert(0, str(Path(__file__).parent))
    importlib.import_module(recipe).main()


# What the commands call; setup.py has their names.
quickstart = functools.partial(run, "quickstart")
pretrain = functools.partial(run, "pretrain")
finetune = functools.partial(run, "finetune")
train_events = functools.partial(run, "train_events")
label = functools.partial(run, "label")
events = functools.partial(run, "detect_events")
embed = functools.partial(run, "embed")
export = functools.partial(run, "export")
check = functools.partial(run, "check_audio")
