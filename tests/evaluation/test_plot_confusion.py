"""The picture of the confusion matrix."""

import numpy as np
import pytest

from keras_asit.evaluation import plot_confusion


def test_rows_are_true_classes_and_cells_have_counts(tmp_path):
    figure = plot_confusion([0, 0, 1, 1], [0, 1, 1, 1], ["cat", "dog"])
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.5, 0.5], [0, 1]])
    assert [text.get_text() for text in axes.texts] == ["1", "1", "2"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    figure.savefig(tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_a_class_without_clips_is_empty_rather_than_undefined():
    axes = plot_confusion([0], [0], ["cat", "dog"]).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[1, 0], [0, 0]])


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="same shape"):
        plot_confusion([0, 1], [0], ["cat", "dog"])


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1, 5], [0, 1, 0], r"`labels` must be classes from 0 to 1, .* labels\[2\]=5"),
        ([0, 1, 0], [0, -1, 0], r"`predictions` must be .* predictions\[1\]=-1"),
    ],
)
def test_classes_without_a_name(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        plot_confusion(labels, predictions, ["dog", "cat"])
