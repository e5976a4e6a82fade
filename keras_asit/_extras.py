"""Libraries that only some of the package needs, as extras of the installation."""

import contextlib


@contextlib.contextmanager
def of_extra(name):
    """Import inside, and an `ImportError` says which extra has what is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{error}. Install it: pip install 'keras-asit[{name}]'") from error
