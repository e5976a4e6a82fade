"""What an import says that lacks an extra."""

import sys

import numpy as np
import pytest

from keras_asit._extras import check_extra, of_extra
from keras_asit.callbacks import NeighborAccuracy, ReconstructionPictures
from keras_asit.evaluation import neighbor_accuracy, plot_confusion


def test_the_error_names_what_is_missing_and_the_extra_that_has_it():
    message = r"'absent'.* pip install 'keras-asit\[pictures\]'"
    with pytest.raises(ImportError, match=message), of_extra("pictures"):
        import absent  # noqa: F401


def test_packages_are_looked_for_before_they_are_needed():
    check_extra("probe", "sys", "os")
    with pytest.raises(ImportError, match=r"'absent'.* pip install 'keras-asit\[probe\]'"):
        check_extra("probe", "sys", "absent")


@pytest.mark.parametrize(
    ("missing", "extra", "function", "arguments"),
    [
        ("matplotlib.figure", "pictures", plot_confusion, ([0], [0], ["dog"])),
        ("sklearn.neighbors", "probe", neighbor_accuracy, ([[1.0], [2.0]], [0, 0])),
        # Not only when an epoch has been trained.
        ("sklearn", "probe", NeighborAccuracy, (np.zeros((1, 2, 2)), [0])),
        ("matplotlib", "tensorboard", ReconstructionPictures, ({}, "logs")),
        ("tensorboard", "tensorboard", ReconstructionPictures, ({}, "logs")),
    ],
)
def test_functions_name_the_extra_they_need(monkeypatch, missing, extra, function, arguments):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"pip install 'keras-asit\[{extra}\]'"):
        function(*arguments)
