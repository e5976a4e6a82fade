"""Files damaged at random pass through the pipeline: used, or skipped and named."""

import re
import warnings

import numpy as np
import pytest

from keras_asit.data import audio_dataset, check_audio, pretraining_dataset


@pytest.mark.parametrize("number", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_every_damaged_file_gives_finite_views_or_is_skipped(damaged_files, number):
    arguments = {"batch_size": 16, "crop_seconds": 0.5, "num_mels": 32, "seed": 1}
    dataset = pretraining_dataset(damaged_files(number), drop_remainder=False, **arguments)
    with pytest.warns() as caught:
        views = np.concatenate([batch["clean"].numpy() for batch in dataset])
    assert np.isfinite(views).all()
    (warning,) = caught
    skipped = int(re.match(rf"Skipped (\d+) of {number} audio files", str(warning.message))[1])
    assert number // 4 < skipped < 3 * number // 4
    assert len(views) + skipped == number


def test_what_is_skipped_is_what_check_audio_calls_unreadable(damaged_files):
    paths = damaged_files(200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        used = {path.numpy().decode() for _, path in audio_dataset(paths)}
    readable = {str(path) for path in paths if not check_audio(path)["unreadable"]}
    assert used == readable
