"""What the recipes share: a parser, types of flags, and an end in one line."""

import argparse
import contextlib
import errno
import importlib
import math
import os
import re
import signal
import sys
import warnings
from pathlib import Path

import lazy_loader

# Or TensorFlow tells, as it starts, what it was built for and that there is no GPU.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# It takes seconds to import, as Keras does, which recipes import where they need it: neither is
# needed for the help, nor to tell of a wrong flag. (Keras itself cannot be loaded in this way.)
keras_asit = lazy_loader.load("keras_asit")

# What flags need to know of it before; a test compares.
SIZES = ("tiny", "small", "base")
POOLINGS = (
    "cls",
    "mean",
    "cls_and_mean",
    "steps",
    "mel_rows",
    "mel_rows_and_maximum",
    "mel_rows_and_deviation",
)
DEFAULT_POOLING = "mel_rows_and_deviation"
ROWS = ("mean", "maximum", "window")
# A run may have been interrupted before its first checkpoint.
FROM_CHECKPOINT = "The same command goes on from the last checkpoint, if there is one."
WINDOW_SECONDS, SHIFT_SECONDS = 0.025, 0.01


def recipe_parser(doc):
    """Return a parser whose help is the docstring of a recipe, by the name that it goes by here."""
    name = _recipe()
    if not name.endswith(".py"):
        doc = re.sub(r"python recipes/\w+\.py", name, doc)
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def add_verbose(parser):
    parser.add_argument(
        "--verbose", type=int, default=1, help="as in Keras: 1 progress bar, 2 a line an epoch"
    )


def settle_size(parser, arguments, size):
    """Let a new network have a size, unless another is given; a preset has its own."""
    flags = ("size", "hidden_dim", "num_layers", "num_heads")
    given = [flag for flag in flags if getattr(arguments, flag)]
    if arguments.preset and given:
        names = ", ".join("--" + flag.replace("_", "-") for flag in given)
        parser.error(f"--preset has a network of its own: leave out {names}")
    if not arguments.preset and not arguments.size:
        arguments.size = size


def dimensions(arguments):
    """Return arguments of a backbone of --size, as other flags change it."""
    size = keras_asit.models.presets.SIZES[arguments.size]
    width = arguments.hidden_dim or size["hidden_dim"]
    return {
        "num_layers": arguments.num_layers or size["num_layers"],
        "num_heads": arguments.num_heads or size["num_heads"],
        "hidden_dim": width,
        "mlp_dim": 4 * width,
        "drop_path_rate": arguments.drop_path_rate,
    }


def add_patch(group, default=None, told=None):
    """Add a flag for the size of a patch; `told` is what the help says of another default."""
    told = told or "{} {}".format(*default)
    group.add_argument(
        "--patch",
        nargs=2,
        type=positive_integer,
        default=default and list(default),
        metavar=("FRAMES", "MELS"),
        help=f"size of a patch (default: {told})",
    )


def positive_integer(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


def integer_from_zero(text):
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value


def number_between(low, high=math.inf):
    """Return a type of flags that are finite numbers in [`low`, `high`]."""
    accepted = f"between {low} and {high}" if high < math.inf else f"finite and at least {low}"

    def number(text):
        value = float(text)
        if not (low <= value <= high and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"must be {accepted}, not {text}")
        return value

    return number


def finite_number(text):
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be finite, not {text}")
    return value


share = number_between(0, 1)
number_from_zero = number_between(0)
overlap = number_between(0, 0.9)


# What to do about an error of writing, by its name.
REMEDIES = {
    "ENOSPC": "Free space.",
    "EDQUOT": "Free space.",
    "EROFS": "Make the folder writable.",
    "EACCES": "Make it readable and the folder writable.",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which then ends a program as Ctrl-C does."""

    def __init__(self, signal_number):
        super().__init__()
        self.signal_number = signal_number


def _terminate(signal_number, _):
    raise Terminated(signal_number)


def is_installed(package, what):
    """Return whether an optional package is there; say what goes without it."""
    try:
        importlib.import_module(package)
    except ImportError:
        print(f"{_recipe()}: without {package} there is no {what}.", file=sys.stderr)
        return False
    return True


@contextlib.contextmanager
def ending_in_one_line(going_on="", errors=()):
    """Let a recipe end in one line: by signals, errors that the user can mend, or a closed pipe.

    Warnings take one line each, too, without the place in the code that they are from.

    Args:
        going_on: str. How to go on after an interruption.
        errors: tuple of further types of errors.
    """
    # Loaded before TensorFlow: behind it, with PyTorch as backend, the package would lack parts.
    heeded = _heeded_signals() - {signal.SIGINT}
    import tensorflow as tf

    recipe = _recipe()
    handlers = {number: signal.signal(number, _terminate) for number in heeded}
    form, warnings.formatwarning = warnings.formatwarning, _form_warning
    try:
        yield
    except BrokenPipeError:
        _end(f"nobody reads what is printed any more. {going_on}", 1)
    except KeyboardInterrupt as interruption:
        number = getattr(interruption, "signal_number", signal.SIGINT)
        what = str(interruption) or f"interrupted by {signal.Signals(number).name}."
        _end(f"{what} {going_on}", 128 + number)
    except tf.errors.OpError as error:
        _leave_line()
        sys.exit(f"{recipe}: {_line_of_pipeline(error)}")
    except (ValueError, OSError, ImportError, FloatingPointError, *errors) as error:
        _leave_line()
        remedy = REMEDIES.get(errno.errorcode.get(getattr(error, "errno", None)))
        what = [*str(error).splitlines(), *([f"{remedy} {going_on}"] if remedy else [])]
        sys.exit(f"{recipe}: {' '.join(what)}".rstrip())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        warnings.formatwarning = form
        _flush()


def _heeded_signals():
    """Return what signals the package heeds, or end if it cannot be loaded without a backend."""
    try:
        return keras_asit.callbacks.continuation.heeded_signals()
    except ModuleNotFoundError as error:
        if error.name not in ("jax", "torch"):
            raise
        sys.exit(
            f"{_recipe()}: {error.name}, which the backend needs, is not installed. Set "
            f"KERAS_BACKEND to another, or install it: pip install 'keras-asit[{error.name}]'"
        )


def _form_warning(message, *_, **__):
    return f"{_recipe()}: {' '.join(str(message).split())}\n"


def _end(line, status):
    _leave_line()
    with contextlib.suppress(OSError):
        print(f"{_recipe()}: {line}".rstrip(), file=sys.stderr)
    sys.exit(status)


def _flush():
    """Write what was printed; where nobody reads it, throw away that and all that is to come."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _recipe():
    return Path(sys.argv[0]).name


def _leave_line():
    # A progress bar may stand there, or nobody be there any more.
    if sys.stdout.isatty():
        with contextlib.suppress(OSError):
            print(flush=True)


def _line_of_pipeline(error):
    """Return what Python said in an input pipeline of TensorFlow, or else the first line."""
    lines = error.message.splitlines()
    mark = "ValueError: "
    return [*(line.removeprefix(mark) for line in lines if line.startswith(mark)), *lines][0]
