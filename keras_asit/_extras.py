"""Libraries that only some of the package needs, as extras of the installation."""

import contextlib
import importlib


@contextlib.contextmanager
def of_extra(name):
    """Import inside, and an `ImportError` says which extra has what is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{error}. Install it: pip install 'keras-asit[{name}]'") from error


def check_extra(name, *packages):
    """Raise `ImportError` unless packages of an extra are there, before work that needs them."""
    with of_extra(name):
        for package in packages:
            importlib.import_module(package)
