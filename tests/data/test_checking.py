"""`check_audio`: what is wrong with an audio file; `isolated_map`: processes that may crash."""

import os
import re
import warnings

import numpy as np
import pytest
import soundfile
from isolated_work import behave, print_as_c_does

from keras_asit.data import audio_dataset, check_audio, decode_audio, pretraining_dataset
from keras_asit.data.checking import isolated_map
from keras_asit.models import ASiTAudioConverter


def write(path, samples, **kwargs):
    soundfile.write(path, samples, 16000, **kwargs)
    return path


@pytest.fixture
def noise():
    return np.random.default_rng(0).uniform(-0.5, 0.5, 48_000)


def test_a_record_of_a_sound_file(tmp_path, noise):
    path = write(tmp_path / "a.wav", np.stack([noise, 0.5 * noise], axis=1))
    assert check_audio(path) == {
        "path": str(path),
        "verdict": "ok",
        "duration": 3.0,
        "sample_rate": 16000,
        "channels": 2,
        "peak": pytest.approx(0.5, abs=1e-3),
        "unreadable": False,
        "truncated": False,
        "silent": False,
        "cancelled": False,
        "clipped": False,
        "why": "",
    }


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac"])
def test_channels_that_cancel_out_are_told_from_silence(tmp_path, noise, name):
    record = check_audio(write(tmp_path / name, np.stack([noise, -noise], axis=1)))
    assert record["verdict"] == "cancelled"
    assert not record["silent"]
    assert np.abs(decode_audio(tmp_path / name)).max() < 0.01 * record["peak"]


def test_one_silent_channel_cancels_nothing(tmp_path, noise):
    record = check_audio(write(tmp_path / "a.wav", np.stack([noise, 0 * noise], axis=1)))
    assert record["verdict"] == "ok"


@pytest.mark.parametrize("level, verdict", [(0, "silent"), (5e-5, "silent"), (2e-4, "ok")])
def test_silence_is_what_no_sample_rises_above(tmp_path, level, verdict):
    path = write(tmp_path / "a.wav", np.full(1000, float(level)), subtype="FLOAT")
    assert check_audio(path)["verdict"] == verdict


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("gain, verdict", [(1.0, "ok"), (1.5, "clipped")])
def test_clipping_is_a_run_at_full_scale(tmp_path, subtype, gain, verdict):
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    path = write(tmp_path / "a.wav", np.clip(gain * tone, -1, 1), subtype=subtype)
    assert check_audio(path)["verdict"] == verdict


@pytest.mark.parametrize(
    "name", ["a.wav", "a.w64", "a.rf64", "a.aiff", "a.au", "a.ogg", "a.opus", "a.mp3"]
)
def test_files_that_end_early_are_truncated(tmp_path, noise, name):
    form = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    path = write(tmp_path / name, noise, **form)
    assert check_audio(path)["verdict"] == "ok"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    record = check_audio(path)
    assert record["verdict"] == "truncated"
    assert record["why"].startswith("ends early: ")
    assert 0 < record["duration"] < 2


def test_the_length_of_an_mp3_file_may_be_an_estimate(tmp_path, noise):
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise, 22050, bitrate_mode="CONSTANT", compression_level=0.2)
    path.write_bytes(path.read_bytes().replace(b"Info", b"\0\0\0\0"))
    with soundfile.SoundFile(path) as file:
        assert len(file.read()) < file.frames
    assert check_audio(path)["verdict"] == "ok"


@pytest.mark.parametrize("name", ["a.flac", "a.caf"])
def test_flac_and_caf_that_end_early_are_unreadable_everywhere(tmp_path, noise, name):
    path = write(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    record = check_audio(path)
    assert (record["verdict"], record["truncated"]) == ("unreadable", False)
    with pytest.raises(RuntimeError, match=name):
        decode_audio(path)


def test_the_length_of_a_stream_may_be_unknown(tmp_path, noise):
    path = write(tmp_path / "a.wav", noise)
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    assert check_audio(path)["verdict"] == "ok"


def test_what_datasets_skip_is_unreadable_and_says_why(bad_files):
    for path, reason in bad_files.items():
        record = check_audio(path)
        assert record["verdict"] == "unreadable"
        assert reason in record["why"]


@pytest.mark.parametrize("samples", [1, 2])
def test_a_file_shorter_than_a_sample_of_the_dataset_is_used_by_both(tmp_path, samples):
    soundfile.write(tmp_path / "a.wav", np.full(samples, 0.5), 96000)
    assert check_audio(tmp_path / "a.wav")["verdict"] == "ok"
    ((waveform, _),) = audio_dataset(tmp_path)
    assert waveform.numpy().tolist() == [0.5]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert check_audio(tmp_path / "pipe.wav")["why"] == "is not a regular file"


@pytest.mark.parametrize("number", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_every_damaged_file_gives_finite_views_or_is_skipped(damaged_files, number):
    converter = ASiTAudioConverter(num_frames=48, num_mels=32)
    arguments = {"batch_size": 16, "crop_seconds": 0.5, "converter": converter, "seed": 1}
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


def test_results_come_in_order_whatever_happens():
    items = ["a", "crash", "b", "raise", "hang", "c"]
    assert list(isolated_map(behave, iter(items), num_workers=2, timeout=1.0)) == [
        ("A", None),
        (None, "crashed"),
        ("B", None),
        (None, "MemoryError: too much"),
        (None, "timed out"),
        ("C", None),
    ]


def test_what_decoders_print_is_not_heard_but_errors_are_told_of_their_item(capfd):
    items = ["error: bad frame!\nerror: again\n", "warning: odd tag\n", "a"]
    outcomes = list(isolated_map(print_as_c_does, items, num_workers=1, timeout=60))
    assert outcomes == [(items[0], "bad frame!"), (items[1], None), (items[2], None)]
    assert capfd.readouterr().err == ""


def test_no_items_are_no_results():
    assert list(isolated_map(behave, [], num_workers=1, timeout=1.0)) == []
