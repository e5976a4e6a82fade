"""`audio_dataset`: waveforms of audio files of any kind, one after another."""

import os
import re
import warnings

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_asit.data import audio_dataset


def waveforms(dataset):
    return [waveform.numpy() for waveform, _ in dataset]


def names(dataset):
    return [path.numpy().decode().rsplit("/", 1)[-1] for _, path in dataset]


def tone(sample_rate, seconds=0.5, frequency=440):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(seconds * sample_rate) / sample_rate)


def frequency_of(waveform, sample_rate):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return spectrum.argmax() * sample_rate / len(waveform)


@pytest.mark.parametrize(
    "name, subtype, tolerance",
    [
        ("a.wav", "PCM_U8", 1e-2),
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "PCM_32", 1e-6),
        ("a.wav", "FLOAT", 1e-6),
        ("a.flac", "PCM_16", 1e-4),
        ("a.flac", "PCM_24", 1e-6),
        ("a.aiff", "PCM_16", 1e-4),
        ("a.au", "PCM_16", 1e-4),
    ],
)
def test_lossless_files_decode_to_their_samples(tmp_path, name, subtype, tolerance):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, 4000)
    soundfile.write(tmp_path / name, samples, 16000, subtype=subtype)
    (waveform,) = waveforms(audio_dataset(tmp_path))
    np.testing.assert_allclose(waveform, samples, atol=tolerance)


@pytest.mark.parametrize("name, kind", [("a.ogg", None), ("a.mp3", None), ("a.opus", "OGG")])
def test_lossy_files_decode_to_their_sound(tmp_path, name, kind):
    subtype = "OPUS" if name == "a.opus" else None
    soundfile.write(tmp_path / name, tone(16000), 16000, format=kind, subtype=subtype)
    (waveform,) = waveforms(audio_dataset(tmp_path))
    assert abs(len(waveform) - 8000) < 1200
    assert frequency_of(waveform, 16000) == pytest.approx(440, abs=5)


@pytest.mark.parametrize("file_rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000])
def test_files_are_resampled(tmp_path, file_rate):
    soundfile.write(tmp_path / "a.wav", tone(file_rate), file_rate)
    (waveform,) = waveforms(audio_dataset(tmp_path, sample_rate=16000))
    middle = slice(500, 7500)
    assert abs(len(waveform) - 8000) <= 1
    np.testing.assert_allclose(waveform[middle], tone(16000)[middle], atol=2e-3)


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_channels_are_mixed_down_to_their_mean(tmp_path, channels, subtype):
    samples = np.random.default_rng(0).uniform(-1, 1, (1000, channels))
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype=subtype)
    (waveform,) = waveforms(audio_dataset(tmp_path))
    np.testing.assert_allclose(waveform, samples.mean(axis=1), atol=1e-4)


def test_elements_are_waveforms_and_absolute_paths(write_noise):
    path = write_noise("a.wav")
    dataset = audio_dataset([path])
    assert dataset.element_spec == (
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([], tf.string),
    )
    assert [path.numpy().decode() for _, path in dataset] == [str(path)]


def test_a_wav_file_that_ends_early_yields_what_it_holds(write_noise):
    path = write_noise("a.wav")
    (whole,) = waveforms(audio_dataset([path]))
    path.write_bytes(path.read_bytes()[:16000])
    (waveform,) = waveforms(audio_dataset([path]))
    np.testing.assert_array_equal(waveform, whole[: len(waveform)])
    assert len(waveform) == pytest.approx(8000, abs=50)


def test_without_shuffle_files_come_in_the_order_of_the_source(write_noise):
    paths = [write_noise(f"{name}.wav", 0.1) for name in "cab"]
    assert names(audio_dataset(paths, num_workers=3)) == ["c.wav", "a.wav", "b.wav"]


def test_shuffled_passes_differ_and_a_seed_repeats_them(tmp_path, write_noise):
    for index in range(12):
        write_noise(f"{index:02}.wav", 0.01)

    def two_passes(seed, num_workers=None):
        dataset = audio_dataset(tmp_path, shuffle=True, seed=seed, num_workers=num_workers)
        return names(dataset), names(dataset)

    first, second = two_passes(seed=1)
    assert first != second
    assert sorted(first) == sorted(second) == [f"{index:02}.wav" for index in range(12)]
    assert two_passes(seed=1, num_workers=1) == (first, second)
    tf.random.set_seed(99)
    assert two_passes(seed=1) == (first, second)
    assert two_passes(seed=2) != (first, second)
    assert two_passes(seed=None) != two_passes(seed=None)


def test_unusable_files_are_skipped_with_one_warning(write_noise, bad_files):
    sources = [write_noise("good.wav"), *bad_files, write_noise("fine.wav")]
    dataset = audio_dataset(sources)
    with pytest.warns(UserWarning) as caught:
        assert names(dataset) == ["good.wav", "fine.wav"]
    (text,) = [str(warning.message) for warning in caught]
    assert text.startswith("Skipped 4 of 6 audio files: ")
    for path, reason in bad_files.items():
        assert re.search(re.escape(str(path)) + r" \([^)]*" + reason, text)


def test_later_passes_do_not_repeat_the_warning(write_noise, bad_files):
    good = write_noise("good.wav")
    other = write_noise("other.wav")
    dataset = audio_dataset([good, *bad_files, other])
    with pytest.warns(UserWarning):
        names(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(dataset) == ["good.wav", "other.wav"]
    other.unlink()
    with pytest.warns(UserWarning, match=r"Skipped 1 of 6 audio files: .*other\.wav"):
        assert names(dataset) == ["good.wav"]


def test_a_warning_names_ten_files_at_most(tmp_path, write_noise):
    write_noise("good.wav")
    for index in range(12):
        (tmp_path / f"bad{index:02}.wav").touch()
    with pytest.warns(UserWarning, match=r"Skipped 12 of 13 .*bad09\.wav \([^)]*\); \.\.\.$"):
        names(audio_dataset(tmp_path))


def test_a_pass_without_any_usable_file_is_an_error_each_time(bad_files):
    dataset = audio_dataset(list(bad_files))
    for _ in range(2):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Of 4 audio files, 0 could be"):
            names(dataset)


def test_a_pass_that_is_broken_off_does_not_disturb_the_next(write_noise, bad_files):
    dataset = audio_dataset([*bad_files, write_noise("good.wav"), write_noise("fine.wav")])
    # A pass that is read ahead may meet its end although nobody asks for it.
    with pytest.warns(UserWarning, match="Skipped 4 of 6") as caught:
        assert names(dataset.take(1)) == ["good.wav"]
        assert names(dataset) == ["good.wav", "fine.wav"]
    assert len(caught) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sample_rate": 0}, "`sample_rate` must be a positive integer"),
        ({"sample_rate": 16000.0}, "`sample_rate` must be a positive integer"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"seed": 0.5}, "`seed` must be an integer of at least 0"),
        ({"num_workers": 0}, "`num_workers` must be a positive integer"),
    ],
)
def test_arguments_are_checked(write_noise, arguments, message):
    with pytest.raises(ValueError, match=message):
        audio_dataset([write_noise("a.wav")], **arguments)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_named_pipes_are_no_audio_files(tmp_path, write_noise):
    write_noise("a.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    assert names(audio_dataset(tmp_path)) == ["a.wav"]


def test_files_without_a_header_are_skipped_and_named(tmp_path, write_noise):
    raw = tmp_path / "a.raw"
    raw.write_bytes(bytes(1000))
    with pytest.warns(UserWarning, match=r"a\.raw \(has no header"):
        assert names(audio_dataset([raw, write_noise("b.wav")])) == ["b.wav"]


def test_file_names_need_not_be_utf_8(tmp_path, write_noise):
    os.rename(write_noise("a.wav"), os.path.join(os.fsencode(tmp_path), b"caf\xe9.wav"))
    ((waveform, path),) = audio_dataset(tmp_path)
    assert path.numpy().endswith(b"caf\xe9.wav")
    assert len(waveform) == 16000


def test_names_that_are_not_utf_8_can_be_printed_when_skipped(tmp_path, write_noise):
    write_noise("a.wav")
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.wav"), "wb") as file:
        file.write(b"no audio")
    with pytest.warns(UserWarning) as caught:
        names(audio_dataset(tmp_path))
    assert rb"caf\udce9.wav (" in str(caught[0].message).encode("utf-8")
