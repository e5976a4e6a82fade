"""Whether the operators of tensorflow-io load, for tests that need them."""

import pytest

from keras_asit.data.graph_decoding import load_tensorflow_io


def operators_load():
    try:
        load_tensorflow_io()
    except ImportError:
        return False
    return True


needs_operators = pytest.mark.skipif(
    not operators_load(),
    reason="needs the extra tfio: tensorflow-io's operators do not load here",
)
