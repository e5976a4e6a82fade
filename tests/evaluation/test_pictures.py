"""Pictures: their axes have seconds, hertz and the names of classes."""

import numpy as np
import pytest

from keras_asit.evaluation import plot_confusion, plot_events, plot_reconstruction
from keras_asit.events import Event
from keras_asit.models import ASiTAudioConverter


def mesh_edges(axes):
    """Return the edges of a drawn spectrogram's bins, in seconds and in hertz."""
    coordinates = axes.collections[0].get_coordinates()
    return coordinates[0, :, 0], coordinates[:, 0, 1]


# --- Reconstructions ---


def test_spectrograms_have_seconds_and_hertz_on_their_axes(tmp_path):
    converter = ASiTAudioConverter(32000, num_frames=48, num_mels=16)
    panels = np.random.default_rng(1).normal(size=(3, 48, 16))
    mask = np.arange(48)[:, None] < 24
    figure = plot_reconstruction(*panels, mask=mask, converter=converter)
    # No error is drawn where nothing was hidden.
    spectrograms = [*panels, abs(panels[2] - panels[0]) * mask]
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["clean", "corrupted", "reconstructed", "error"]
    for axes, spectrogram in zip(figure.axes, spectrograms):
        seconds, hertz = mesh_edges(axes)
        np.testing.assert_allclose(seconds, np.arange(49) / 100)
        np.testing.assert_array_equal(axes.collections[0].get_array(), spectrogram.T)
        # Filters are evenly spaced on this scale, their centers in the middle of their bins.
        mels = 1127 * np.log1p(hertz / 700)
        lowest, highest = 1127 * np.log1p(np.array([20, 16000]) / 700)
        step = (highest - lowest) / 17
        np.testing.assert_allclose(mels, lowest + step * (np.arange(17) + 0.5))
    assert figure.axes[-1].get_xlabel() == "seconds"
    assert figure.axes[-1].get_ylabel() == "hertz"
    figure.savefig(tmp_path / "reconstruction.png")
    assert (tmp_path / "reconstruction.png").stat().st_size > 1000


def test_clean_and_reconstructed_have_the_same_colors():
    panels = np.random.default_rng(1).normal(size=(3, 48, 16))
    figure = plot_reconstruction(*panels, mask=np.ones((48, 16)))
    ranges = [axes.collections[0].get_clim() for axes in figure.axes]
    assert ranges[:3] == 3 * [(panels[0].min(), panels[0].max())]
    assert ranges[3] == (0, abs(panels[2] - panels[0]).max())


# --- Events ---


def test_events_are_drawn_under_the_spectrogram(tmp_path):
    events = [
        Event(0.0, 1.0, "cat", 0.6),
        Event(0.5, 1.5, "dog", 0.85),
        Event(2.0, 3.0, "dog", 0.7),
        Event(3.0, 3.5, "cat", 0.6),
    ]
    figure = plot_events(np.zeros((350, 16)), events)
    above, below = figure.axes
    assert mesh_edges(above)[0][-1] == 3.5
    assert below.get_xlim() == (0, 3.5)
    stretches = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in below.patches]
    assert stretches == [event[:2] for event in events]
    assert [label.get_text() for label in below.get_yticklabels()] == ["cat", "dog"]
    figure.savefig(tmp_path / "events.png")
    assert (tmp_path / "events.png").stat().st_size > 1000


# --- Confusions ---


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


def test_what_is_not_finite_is_not_drawn():
    clean = np.zeros((48, 16))
    with pytest.raises(ValueError, match="must have finite values"):
        plot_reconstruction(clean, clean, clean * np.nan, mask=np.ones((48, 16)))


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
