"""Event detectors from PretrainedSED's files: parity with its outputs."""

import numpy as np
import pytest
from keras import ops

from keras_asit.conversion import load_event_detector

pytest.importorskip("torch", reason="PyTorch files are read by PyTorch")


@pytest.mark.parametrize("frames", [592, 998, 208])
def test_scores_equal_those_of_pretrained_sed(golden, frames):
    outputs = np.load(golden / "sed_outputs.npz")
    detector = load_event_detector(
        golden / "sed_strong.pt", spectrogram_shape=(frames, 128), num_heads=2
    )
    logits = detector(outputs[f"{frames}/spectrogram"])
    for name in ("strong", "weak"):
        expected = outputs[f"{frames}/{name}"]
        difference = np.abs(ops.convert_to_numpy(logits[name]) - expected).max()
        assert difference / np.abs(expected).max() < 1e-5, name


def test_a_window_is_of_10_seconds_by_default(golden):
    detector = load_event_detector(golden / "sed_strong.pt", num_heads=2)
    assert detector.window_seconds == 10
    shapes = {name: output.shape for name, output in detector.output.items()}
    assert shapes == {"strong": (None, 250, 7), "weak": (None, 5)}


def test_a_file_without_heads_is_an_error(golden):
    with pytest.raises(ValueError, match="no strong_head and no weak_head"):
        load_event_detector(golden / "sed_ssl.pt", num_heads=2)
