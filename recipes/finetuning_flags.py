"""The flags of `finetune.py`, and the settings of each data set that stand in for them."""

import argparse

from command_line import (
    DEFAULT_POOLING,
    POOLINGS,
    WINDOW_SECONDS,
    integer_from_zero,
    number_between,
    number_from_zero,
    overlap,
    positive_integer,
    recipe_parser,
    settle_size,
    share,
)
from training import (
    add_data_flags,
    add_model_flags,
    add_optimization_flags,
    add_run_flags,
    add_setting,
)

# Gong et al., "AST", arXiv 2104.01778, section 3, and the scripts published with it; for
# VoxCeleb1, Gong et al., "SSAST", arXiv 2110.09784, section 4.2.
ANY = {
    "epochs": 25,
    "batch_size": 48,
    "learning_rate": 1e-4,
    "seconds": None,
    "max_frames": 0,
    "max_mels": 0,
    "noise": 0.0,
    "max_shift": 0,
    "mixup": 0.0,
    "loss": "categorical",
    "decay_after": 5,
    "decay_every": 1,
    "decay_rate": 0.85,
    "warmup_steps": 0,
    "validation_share": 0.1,
    "balanced": False,
    "averaging": 0.0,
    "schedule": "steps",
    "weight_decay": 5e-7,
    "dropout": 0.0,
    "drop_path_rate": 0.0,
    "mean": None,
    "standard_deviation": None,
    # What did best for the preset that comes with the package.
    "pooling": DEFAULT_POOLING,
}
# At the published sizes that was not tried.
PUBLISHED = {**ANY, "pooling": "cls_and_mean"}
DATASETS = {
    "any": ANY,
    # Not published: found here by trial, for a small network from a random start.
    "spoken-digits": {
        **ANY,
        "epochs": 70,
        "learning_rate": 1e-3,
        "seconds": 0.495,
        "max_frames": 8,
        "max_mels": 16,
        "noise": 0.1,
        "max_shift": 8,
        "mixup": 0.2,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.05,
        "dropout": 0.1,
        "drop_path_rate": 0.1,
        "validation_share": 0.0,
    },
    "esc50": {
        **PUBLISHED,
        "learning_rate": 1e-5,
        "seconds": 5.135,
        "max_frames": 96,
        "max_mels": 24,
        "validation_share": 0.0,
        "mean": -6.6268077,
        "standard_deviation": 5.358466,
    },
    "speech-commands": {
        **PUBLISHED,
        "epochs": 30,
        "batch_size": 128,
        "learning_rate": 2.5e-4,
        "seconds": 1.295,
        "max_frames": 48,
        "max_mels": 48,
        "noise": 0.1,
        "max_shift": 10,
        "mixup": 0.6,
        "loss": "binary",
        "mean": -6.845978,
        "standard_deviation": 5.5654526,
    },
    "audioset": {
        **PUBLISHED,
        "batch_size": 12,
        "learning_rate": 5e-5,
        "seconds": 10.255,
        "max_frames": 192,
        "max_mels": 48,
        "mixup": 0.5,
        "loss": "binary",
        "decay_after": 10,
        "decay_every": 5,
        "decay_rate": 0.5,
        "warmup_steps": 1000,
        "validation_share": 0.0,
        "averaging": 0.999,
    },
    "audioset-full": {
        **PUBLISHED,
        "epochs": 5,
        "batch_size": 12,
        "learning_rate": 1e-5,
        "seconds": 10.255,
        "max_frames": 192,
        "max_mels": 48,
        "mixup": 0.5,
        "loss": "binary",
        "decay_after": 2,
        "decay_every": 1,
        "decay_rate": 0.5,
        "warmup_steps": 1000,
        "validation_share": 0.0,
        "balanced": True,
        "averaging": 0.999,
    },
    "voxceleb1": {**PUBLISHED, "epochs": 40, "seconds": 10.255, "max_frames": 48, "max_mels": 48},
}


def parse_arguments(doc):
    """Return the parsed command line of a recipe of this docstring, with all defaults filled in."""
    parser = recipe_parser(doc)
    add = parser.add_argument
    add("source", metavar="SOUNDS", help="folder or manifest")
    whose = "whose settings are the defaults told here (default: %(default)s)"
    add("--dataset", choices=DATASETS, default="any", help=whose)
    add_run_flags(parser, "runs/finetune")

    group = add_data_flags(parser, "SOUNDS", test="a fifth of each class")
    add = group.add_argument
    add("--fold", type=int, choices=range(1, 6), help="of ESC-50 (default: all five in turn)")
    add("--split-file", help="VoxCeleb1's iden_split.txt (default: that in the folder)")
    tasks = ["digit", "speaker"]
    add_setting(group, "--task", str, "of the spoken digits", choices=tasks, default="digit")
    add("--labels-per-class", type=positive_integer, help="train on so few clips, drawn at random")
    add_setting(
        group,
        "--validation-share",
        share,
        "of training clips; 0: the last epoch counts",
    )
    add_setting(
        group,
        "--seconds",
        number_between(WINDOW_SECONDS),
        "of a window; None: the longest clip's, at most the preset's",
    )
    group.add_argument(
        "--balanced",
        action=argparse.BooleanOptionalAction,
        help="draw clips of rare classes more often (default: %(default)s)",
    )
    add_setting(group, "--overlap", overlap, "of windows in the test", default=0.0)

    group = add_model_flags(parser)
    add = group.add_argument
    add_setting(group, "--pooling", str, "of tokens", choices=POOLINGS)
    add_setting(group, "--dropout", share, "before the head")
    add("--keep-head", action="store_true", help="start classes from the preset's, by their names")

    group = add_optimization_flags(parser)
    losses = ["categorical", "binary"]
    add_setting(group, "--loss", str, "cross-entropy", choices=losses)
    add_setting(group, "--max-frames", integer_from_zero, "hidden by SpecAugment")
    add_setting(group, "--max-mels", integer_from_zero, "hidden by SpecAugment")
    noise = "largest amplitude of noise in a spectrogram"
    add_setting(group, "--noise", number_from_zero, noise)
    shift = "frames that a spectrogram is rolled by"
    add_setting(group, "--max-shift", integer_from_zero, shift)
    add_setting(group, "--label-smoothing", share, default=0.0)

    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    # What is wrong with them, the second tells.
    first.add_argument("--dataset", nargs="?", default="any")
    first.add_argument("--pooling", nargs="?")
    given, _ = first.parse_known_args()
    parser.set_defaults(**DATASETS.get(given.dataset, ANY))
    arguments = parser.parse_args()
    settle_size(parser, arguments, "tiny")
    if arguments.keep_head and not arguments.preset:
        parser.error("--keep-head needs --preset, that of a classifier")
    if arguments.keep_head and given.pooling:
        parser.error("--keep-head pools as the preset does: leave out --pooling")
    return arguments
