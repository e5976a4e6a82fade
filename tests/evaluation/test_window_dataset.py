"""`window_dataset`: recordings of any length as windows that cover them."""

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_asit.data import decode_audio
from keras_asit.evaluation import window_dataset


def windows_of(dataset):
    """Return a list of (waveform, index of its file)."""
    return [
        (waveform.numpy(), int(index))
        for waveforms, indices in dataset
        for waveform, index in zip(waveforms, indices)
    ]


def test_a_recording_no_longer_than_a_window_keeps_its_length(write_noise):
    paths = [write_noise("short.wav", 0.3), write_noise("exact.wav", 0.5)]
    windows = windows_of(window_dataset(paths, window_seconds=0.5))
    assert [index for _, index in windows] == [0, 1]
    for (waveform, _), path in zip(windows, paths):
        np.testing.assert_array_equal(waveform, decode_audio(path))


@pytest.mark.parametrize(
    ("overlap", "starts"), [(0.0, [0, 0.45, 0.9]), (0.5, [0, 0.225, 0.45, 0.675, 0.9])]
)
def test_whole_windows_cover_a_longer_recording_evenly(write_noise, overlap, starts):
    path = write_noise("long.wav", 1.4)
    recording = decode_audio(path)
    windows = windows_of(window_dataset([path], window_seconds=0.5, overlap=overlap))
    assert len(windows) == len(starts)
    for (waveform, _), start in zip(windows, starts):
        first = round(16000 * start)
        np.testing.assert_array_equal(waveform, recording[first : first + 8000])


def test_batches_mix_files_and_keep_their_order(write_noise):
    paths = [write_noise(f"{seconds}.wav", seconds) for seconds in (1.0, 0.2, 0.7)]
    dataset = window_dataset(paths, window_seconds=0.5, batch_size=3)
    assert [indices.numpy().tolist() for _, indices in dataset] == [[0, 0, 1], [2, 2]]
    assert dataset.element_spec[0].shape.as_list() == [None, None]


def test_files_are_resampled(write_noise):
    path = write_noise("a.wav", 1.0, sample_rate=8000)
    ((waveform, _), _) = windows_of(window_dataset([path], 16000, window_seconds=0.5))
    assert len(waveform) == 8000


def test_unreadable_files_are_skipped_and_keep_their_index(write_noise, bad_files):
    paths = [*bad_files, write_noise("good.wav", 0.2)]
    with pytest.warns(UserWarning, match="Skipped 4 of 5 audio files"):
        windows = windows_of(window_dataset(paths))
    assert [index for _, index in windows] == [4]


def test_samples_far_out_of_range_make_a_file_unreadable(tmp_path, write_noise):
    integers = tmp_path / "integers.wav"
    soundfile.write(integers, np.full(100, 20000.0), 16000, subtype="FLOAT")
    with pytest.warns(UserWarning, match=r"integers\.wav \(has samples far beyond \[-1, 1\]\)"):
        windows = windows_of(window_dataset([integers, write_noise("good.wav")]))
    assert [index for _, index in windows] == [1]


def test_a_pass_without_readable_files_is_an_error_unless_it_may_be(bad_files):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Of 4 audio files, 0 could be"):
        windows_of(window_dataset(list(bad_files)))
    with pytest.warns(UserWarning, match="Skipped 4 of 4"):
        assert windows_of(window_dataset(list(bad_files), at_least=0)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 0}, "`sample_rate` must be a positive integer"),
        ({"window_seconds": 0}, "`window_seconds` must be a number of at least"),
        ({"overlap": 1.0}, "`overlap` must be a number between 0 and 0.9"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"at_least": -1}, "`at_least` must be a number of at least 0"),
    ],
)
def test_arguments_are_checked(write_noise, arguments, message):
    with pytest.raises(ValueError, match=message):
        window_dataset([write_noise("a.wav")], **arguments)
