"""What an import says that lacks an extra."""

import sys

import pytest

from keras_asit._extras import of_extra
from keras_asit.evaluation import neighbor_accuracy, plot_confusion


def test_the_error_names_what_is_missing_and_the_extra_that_has_it():
    message = r"'absent'.* pip install 'keras-asit\[pictures\]'"
    with pytest.raises(ImportError, match=message), of_extra("pictures"):
        import absent  # noqa: F401


@pytest.mark.parametrize(
    ("missing", "extra", "function", "arguments"),
    [
        ("matplotlib.figure", "pictures", plot_confusion, ([0], [0], ["dog"])),
        ("sklearn.neighbors", "probe", neighbor_accuracy, ([[1.0], [2.0]], [0, 0])),
    ],
)
def test_functions_name_the_extra_they_need(monkeypatch, missing, extra, function, arguments):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"pip install 'keras-asit\[{extra}\]'"):
        function(*arguments)
