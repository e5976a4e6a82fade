"""The flags of `pretrain.py`, whose defaults are the published settings of the method."""

import argparse
from pathlib import Path

import lazy_loader
from command_line import (
    SIZES,
    WINDOW_SECONDS,
    add_patch,
    add_verbose,
    finite_number,
    integer_from_zero,
    number_between,
    number_from_zero,
    positive_integer,
    recipe_parser,
    settle_size,
    share,
)
from devices import add_device_flags
from run_record import add_license

keras_asit = lazy_loader.load("keras_asit")

view_seconds = number_between(WINDOW_SECONDS)
temperature = number_between(1e-6)


def parse_arguments(doc):
    """Return the parsed command line of a recipe of this docstring, with all defaults filled in."""
    parser = recipe_parser(doc)
    add = parser.add_argument
    add(
        "source",
        metavar="FOLDER|MANIFEST",
        help="audio files, or a .txt, .csv or .json of them, or records of write_records.py",
    )
    add("--output", type=Path, default=Path("runs/pretrain"), help="(default: %(default)s)")
    add("--generation", type=int, choices=(1, 2), default=1, help="of the method")
    add("--preset", help="name, folder or handle of a backbone to go on from (default: at random)")
    add("--size", choices=SIZES, help="of the backbone, without a preset (default: base)")
    add("--epochs", type=positive_integer, default=100, help="(default: %(default)s)")
    add("--batch-size", type=positive_integer, default=64, help="clips (default: %(default)s)")
    add("--seed", type=int, default=1, help="of everything random (default: %(default)s)")
    add_license(parser)
    add_verbose(parser)
    add_device_flags(parser)
    add("--steps-per-execution", type=positive_integer, default=1, help="(default: %(default)s)")
    add(
        "--precision",
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
        default="float32",
        help="(default: %(default)s)",
    )

    group = parser.add_argument_group("memory")
    group.add_argument(
        "--rematerialize",
        action="store_true",
        help="compute a block of the network once more for its gradient, instead of keeping it",
    )
    number(group, "--accumulate", 1, positive_integer, "parts that a batch is computed in")

    group = parser.add_argument_group("a long run")
    number(group, "--save-every", 1000, positive_integer, "batches; and after each epoch")
    number(group, "--keep", 3, positive_integer, "checkpoints, besides that of the least loss")
    number(group, "--log-every", 50, positive_integer, "batches, to progress.csv and TensorBoard")
    number(group, "--stall-seconds", 300.0, number_from_zero, "without a batch until a warning")
    group.add_argument(
        "--non-finite",
        choices=["stop", "skip"],
        default="stop",
        help="what to do when a loss or gradient is not finite (default: %(default)s)",
    )

    group = parser.add_argument_group("views")
    number(group, "--sample-rate", None, positive_integer, "Hz (default: the preset's, or 16000)")
    group.add_argument(
        "--decoder",
        choices=["soundfile", "tensorflow_io"],
        default="soundfile",
        help="of audio files; the second needs the extra tfio (default: %(default)s)",
    )
    number(group, "--crop-seconds", 6.0, view_seconds)
    number(group, "--max-seconds", None, view_seconds, "read of an audio file a pass; 60")
    number(group, "--num-short-crops", None, integer_from_zero, "0, or 4 in generation 2")
    number(group, "--short-crop-seconds", 2.0, view_seconds)
    number(group, "--roll-probability", 0.5, share)
    number(group, "--mean", None, help="of log-mels (default: the preset's, or AudioSet's)")
    number(group, "--standard-deviation", None, number_between(1e-6), "(default: likewise)")
    group.add_argument(
        "--adapt",
        action="store_true",
        help="compute mean and standard deviation from the source first",
    )
    group.add_argument(
        "--filterbank-on-device",
        action="store_true",
        help="deliver waveforms, and compute spectrograms in the training step",
    )

    group = parser.add_argument_group("masking")
    number(group, "--drop-ratio", None, help="0.7, or 0.5 in generation 2")
    group.add_argument(
        "--mask-kind",
        nargs="+",
        choices=["zeros", "noise", "time", "freq"],
        default=["zeros"],
        help="what is dropped; of several, each view draws one (default: zeros)",
    )
    number(group, "--replace-ratio", 0.3)
    number(group, "--replace-probability", 0.5)
    number(group, "--align", 1, positive_integer, "of rectangles, in frames and bins")

    group = parser.add_argument_group("model and losses")
    add_patch(group, told="the preset's, or 16 16")
    number(group, "--hidden-dim", None, positive_integer, "width (default: that of the size)")
    number(group, "--num-layers", None, positive_integer, "(default: that of the size)")
    number(group, "--num-heads", None, positive_integer, "(default: that of the size)")
    number(group, "--projection-hidden-dim", 2048, positive_integer)
    number(group, "--projection-bottleneck-dim", 256, positive_integer)
    number(group, "--reconstruction-hidden-dim", 768, positive_integer)
    number(group, "--reconstruction-bottleneck-dim", 128, positive_integer)
    number(group, "--drop-path-rate", 0.1)
    number(group, "--num-class-prototypes", 8192, positive_integer)
    number(group, "--num-patch-prototypes", None, integer_from_zero, "1024; 0, shared, in 2")
    group.add_argument(
        "--trainable-gain",
        action=argparse.BooleanOptionalAction,
        help="of the prototypes (default: no, or yes in generation 2)",
    )
    number(group, "--global-loss-weight", None, number_from_zero, "1, or 0.5 in generation 2")
    number(group, "--local-loss-weight", None, number_from_zero, "1, or 0.5 in generation 2")
    number(group, "--reconstruction-loss-weight", None, number_from_zero, "2, or 1 in generation 2")
    number(group, "--student-temperature", 0.1, temperature)
    number(group, "--center-momentum", 0.9, share)

    group = parser.add_argument_group("optimization")
    number(group, "--learning-rate", 5e-4, number_from_zero, "for 256 clips; scaled to the batch")
    number(group, "--final-learning-rate", 1e-6, number_from_zero)
    number(group, "--warmup-epochs", 10, integer_from_zero)
    number(group, "--weight-decay", 0.04, number_from_zero)
    number(group, "--final-weight-decay", 0.4, number_from_zero)
    number(group, "--clip-norm", 3.0, help="of each variable's gradient")
    number(group, "--teacher-momentum", 0.996, share, "rises to 1")
    number(group, "--teacher-temperature", 0.04, temperature)
    number(group, "--final-teacher-temperature", 0.07, temperature)
    number(group, "--temperature-epochs", None, positive_integer, "30, or 5 in generation 2")

    arguments = parser.parse_args()
    settle_size(parser, arguments, "base")
    for name, value in keras_asit.models.presets.GENERATIONS[arguments.generation].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def number(group, flag, default, type=finite_number, help=""):
    suffix = "" if default is None else "(default: %(default)s)"
    group.add_argument(flag, type=type, default=default, help=f"{help} {suffix}".strip())
