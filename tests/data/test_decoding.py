"""One audio file as a waveform."""

import io
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from keras_asit.data import check_audio, decode_audio, decoding, mpeg

RAMP = np.linspace(-0.5, 0.5, 80_000)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
@pytest.mark.parametrize("offset", [0.0, 0.5, 1.0])
def test_a_stretch_of_a_long_file_is_found_by_seeking(tmp_path, name, offset):
    soundfile.write(tmp_path / name, RAMP, 16000)
    stretch = decode_audio(tmp_path / name, max_seconds=1.0, offset=offset)
    start = round(offset * 64_000)
    np.testing.assert_allclose(stretch, RAMP[start : start + 16_000], atol=1e-4)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_files_seek_too(tmp_path, name):
    soundfile.write(
        tmp_path / name, np.repeat([0.1, 0.4], 40_000) * np.sin(np.arange(80_000)), 16000
    )
    for offset, level in ((0.0, 0.1), (1.0, 0.4)):
        stretch = decode_audio(tmp_path / name, max_seconds=1.0, offset=offset)
        assert len(stretch) == 16_000
        assert np.std(stretch[4000:-4000]) == pytest.approx(level / np.sqrt(2), rel=0.1)


def state_length(path, num_frames):
    """Overwrite the number of samples, 36 bits, in the header of a FLAC file."""
    content = bytearray(path.read_bytes())
    fields = int.from_bytes(content[18:26], "big") >> 36 << 36
    content[18:26] = (fields | num_frames).to_bytes(8, "big")
    path.write_bytes(content)


def test_a_header_that_states_a_wrong_length_takes_no_memory(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, RAMP, 16000)
    state_length(path, 2**36 - 1)
    with pytest.raises(RuntimeError):
        decode_audio(path)
    first = decode_audio(path, max_seconds=1.0, offset=0.5)
    np.testing.assert_allclose(first, RAMP[:16_000], atol=1e-4)


def test_where_a_long_file_is_damaged_its_first_stretch_stands_in(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 160_000), 16000)
    path.write_bytes(path.read_bytes()[:200_000])
    first, last = (decode_audio(path, max_seconds=1.0, offset=offset) for offset in (0.0, 1.0))
    np.testing.assert_array_equal(last, first)


def test_files_are_read_in_blocks_that_join_to_the_whole(tmp_path, monkeypatch):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (5000, 3))
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    whole = decode_audio(tmp_path / "a.wav")
    monkeypatch.setattr(decoding, "BLOCK_SAMPLES", 999)
    np.testing.assert_allclose(decode_audio(tmp_path / "a.wav"), whole, atol=1e-7)
    np.testing.assert_allclose(whole, samples.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("sample_rate", [1, 999, 2_000_000])
def test_rates_that_no_recording_has_are_refused(tmp_path, sample_rate):
    soundfile.write(tmp_path / "a.wav", RAMP, sample_rate)
    with pytest.raises(ValueError, match=f"sample rate of {sample_rate} Hz"):
        decode_audio(tmp_path / "a.wav")


def test_errors_name_the_file_once(bad_files, tmp_path):
    for path, reason in {**bad_files, tmp_path / "nowhere.wav": "is not a regular file"}.items():
        with pytest.raises((ValueError, RuntimeError), match=reason) as error:
            decode_audio(path)
        assert str(error.value).count(path.name) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"sample_rate": 0}, "`sample_rate` must be a positive integer"),
        ({"max_seconds": -1}, "`max_seconds` must be a number of at least 0"),
        ({"offset": 2}, "`offset` must be a number between 0 and 1"),
    ],
)
def test_arguments_are_checked(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        decode_audio(tmp_path / "a.wav", **{"sample_rate": 16000, **arguments})


def test_shorter_files_are_whole_and_other_rates_keep_the_duration(tmp_path):
    soundfile.write(tmp_path / "a.wav", RAMP, 8000)
    assert len(decode_audio(tmp_path / "a.wav", max_seconds=20.0)) == 160_000
    assert len(decode_audio(tmp_path / "a.wav", max_seconds=2.0)) == 32_000


@pytest.mark.parametrize("sample_rate", [8000, 11127, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_any_rate_and_number_of_channels(tmp_path, sample_rate, channels):
    time = np.arange(sample_rate) / sample_rate
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "a.wav", np.stack([tone] * channels, axis=1), sample_rate)
    waveform = decode_audio(tmp_path / "a.wav")
    assert abs(len(waveform) - 16000) <= 2
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(waveform)) / 16000)
    np.testing.assert_allclose(waveform[1000:-1000], expected[1000:-1000], atol=2e-3)


needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg on the path")


@pytest.fixture
def convert(tmp_path):
    """Return a function that writes 2 s of a tone in two channels in a format of ffmpeg."""

    def write(name):
        time = np.arange(88_200) / 44_100
        tone = np.sin(2 * np.pi * 440 * time) * np.where(time < 1, 0.1, 0.4)
        soundfile.write(tmp_path / "tone.flac", np.stack([1.2 * tone, 0.8 * tone], axis=1), 44_100)
        command = ["ffmpeg", "-v", "error", "-i", tmp_path / "tone.flac", tmp_path / name]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        (tmp_path / "tone.flac").unlink()
        return tmp_path / name

    return write


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.m4a", "a.MP4", "a.webm", "a.wma", "é.aac"])
def test_what_libsndfile_does_not_read_is_decoded_by_ffmpeg(convert, name):
    path = convert(name)
    waveform = decode_audio(path)
    # Encoders pad the ends and some decoders do not know.
    assert abs(len(waveform) - 32_000) < 2_000
    last = decode_audio(path, max_seconds=0.5, offset=1.0)
    assert len(last) == 8000
    for stretch, level in ((waveform[:8000], 0.1), (waveform[-8000:], 0.4), (last, 0.4)):
        assert np.std(stretch[2000:-2000]) == pytest.approx(level / np.sqrt(2), rel=0.1)
    record = check_audio(path)
    assert (record["verdict"], record["channels"]) == ("ok", 2)
    with pytest.raises(RuntimeError, match="Format not recognised"):
        decoding.open_audio(path, fallback=False)


def test_threads_do_not_take_each_others_reason(write_noise, bad_files):
    good = write_noise("good.wav", seconds=0.1)
    nonsense = next(path for path, why in bad_files.items() if why == "Format not recognised")

    def why(path):
        try:
            decode_audio(path)
        except RuntimeError as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        reasons = set(threads.map(why, [good, nonsense] * 500))
    assert reasons == {None, f"{nonsense} cannot be decoded: Format not recognised."}


@needs_ffmpeg
def test_what_neither_reads_keeps_the_reason_of_libsndfile(tmp_path, convert):
    nonsense = tmp_path / "nonsense.m4a"
    nonsense.write_bytes(b"no audio at all")
    silent = convert("a.mp4")
    silent.write_bytes(silent.read_bytes()[:200])
    with pytest.raises(RuntimeError, match=r"nonsense.m4a cannot .* Format not recognised"):
        decode_audio(nonsense)
    with pytest.raises(ValueError, match=r"a.mp4 holds MP4, which .*; nor can ffmpeg"):
        decode_audio(silent)


@needs_ffmpeg
def test_a_damaged_file_of_libsndfile_is_damaged_with_ffmpeg_too(convert):
    path = convert("a.aac")
    with pytest.raises(RuntimeError, match="Format not recognised"):
        decode_audio(path.rename(path.with_suffix(".wav")))


def test_without_ffmpeg_its_files_cannot_be_decoded(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A ")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match=r"a\.m4a holds MP4.*; ffmpeg can: install it"):
        decode_audio(tmp_path / "a.m4a")


# --- Headers that lie ---


def write_mp3(path, *levels):
    """Write 2 s of noise of each level, at a variable bit rate."""
    noise = np.random.default_rng(1).uniform(-1, 1, (len(levels), 32_000)) * np.array([levels]).T
    soundfile.write(path, noise.ravel(), 16000, bitrate_mode="VARIABLE")
    return path.read_bytes()


def without_length(content):
    """Return an mp3 file without its first frame, which counts the others."""
    first = next(
        stop for start, stop in mpeg._frames(content) if mpeg.LENGTH.search(content, start)
    )
    return content[first:]


@pytest.mark.parametrize("levels", [(0.5, 0.0, 0.0), (0.0, 0.0, 0.5)])
def test_mp3_that_does_not_state_its_length_is_read_whole(tmp_path, levels):
    path = tmp_path / "a.mp3"
    path.write_bytes(without_length(write_mp3(path, *levels)))
    waveform = decode_audio(path)
    # The encoder adds up to three frames of 576 samples.
    assert 0 <= len(waveform) - 96_000 < 3 * 576
    record = check_audio(path)
    assert record["verdict"] == "ok"
    assert record["duration"] == len(waveform) / 16000
    for offset, level in ((0.0, levels[0]), (1.0, levels[2])):
        stretch = decode_audio(path, max_seconds=1.0, offset=offset)
        assert np.abs(stretch).max() > 0.3 if level else np.abs(stretch).max() < 0.01
    np.testing.assert_array_equal(decode_audio(io.BytesIO(path.read_bytes())), waveform)


def test_mp3_files_in_a_row_and_garbage_between_their_frames_cost_no_sample(tmp_path):
    path = tmp_path / "a.mp3"
    content = write_mp3(path, 0.5, 0.1)
    whole = decode_audio(path)
    assert len(whole) == 64_000
    path.write_bytes(content + content)
    # What the encoder adds at both ends of the first file stays in the middle.
    assert 0 <= len(decode_audio(path)) - 128_000 <= 4 * 576
    place = [start for start, _ in mpeg._frames(content)][40]
    path.write_bytes(content[:place] + bytes(range(256)) * 40 + content[place:])
    waveform = decode_audio(path)
    assert len(waveform) == 64_000
    np.testing.assert_allclose(waveform[: 30 * 576], whole[: 30 * 576], atol=1e-4)
    assert check_audio(path)["verdict"] == "ok"


@pytest.mark.parametrize("garbage", [bytes(5000), bytes(range(255)) * 20])
def test_an_mp3_with_garbage_in_the_place_of_frames_has_all_others(tmp_path, garbage):
    path = tmp_path / "a.mp3"
    content = write_mp3(path, 0.5, 0.1)
    starts = [start for start, _ in mpeg._frames(content)]
    place = starts[len(starts) // 3]
    path.write_bytes(content[:place] + garbage + content[place + len(garbage) :])
    lost = sum(place <= start < place + len(garbage) for start in starts)
    record = check_audio(path)
    assert abs(record["duration"] - (64_000 - 576 * lost) / 16000) < 577 / 16000
    assert record["verdict"] == "truncated"
    assert record["why"] == f"ends early: {lost} of the frames stated are missing or damaged"
    last = decode_audio(path, max_seconds=1.0, offset=1.0)
    assert len(last) == 16_000
    assert np.abs(last).max() < 0.2


def test_what_only_begins_as_mp3_is_named(tmp_path, capfd):
    (tmp_path / "a.mp3").write_bytes(b"\xff\xfb" + 5000 * b"no sound")
    with pytest.raises(RuntimeError, match=r"a\.mp3 cannot be decoded: .* has no frame of it"):
        decode_audio(tmp_path / "a.mp3")
    assert capfd.readouterr().err == ""


def test_a_rate_of_0_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", RAMP, 16000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:24] + bytes(4) + content[28:])
    with pytest.raises(RuntimeError, match=r"a\.wav cannot be decoded: states a sample rate of 0"):
        decode_audio(tmp_path / "a.wav")


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_ogg_streams_in_a_row_are_all_read(convert, suffix, monkeypatch):
    first, second = convert(f"a{suffix}"), convert(f"b{suffix}")
    second.write_bytes(first.read_bytes() + second.read_bytes())
    assert abs(len(decode_audio(second)) - 64_000) < 1000
    assert check_audio(second)["verdict"] == "ok"
    monkeypatch.setenv("PATH", "")
    record = check_audio(second)
    assert record["verdict"] == "unreadable"
    assert record["why"].startswith("holds streams of Ogg in a row, which libsndfile cannot")


@needs_ffmpeg
@pytest.mark.parametrize("arguments", [["-c:a", "pcm_s16le"], ["-c:a", "pcm_u8"], ["-ac", "2"]])
def test_creative_voice_files_of_several_blocks_gain_no_sample(tmp_path, arguments, monkeypatch):
    soundfile.write(tmp_path / "a.flac", RAMP, 16000)
    for source, target in (("a.flac", "a.voc"), ("a.voc", "a.wav")):
        command = ["ffmpeg", "-v", "error", "-i", tmp_path / source, *arguments, tmp_path / target]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    expected = decode_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(decode_audio(tmp_path / "a.voc"), expected, atol=1e-4)
    assert check_audio(tmp_path / "a.voc")["verdict"] == "ok"
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"Creative Voice File of several blocks.*install it"):
        decode_audio(tmp_path / "a.voc")


def test_a_stretch_of_gsm_is_that_of_its_place(tmp_path):
    soundfile.write(tmp_path / "a.wav", RAMP, 8000, subtype="GSM610")
    whole = decode_audio(tmp_path / "a.wav", sample_rate=8000)
    stretch = decode_audio(tmp_path / "a.wav", sample_rate=8000, max_seconds=2.0, offset=0.5)
    start = (len(whole) - 16_000) // 2
    np.testing.assert_array_equal(stretch, whole[start : start + 16_000])


@pytest.mark.parametrize("size", [0, 2**32 - 1])
def test_a_wav_of_a_recorder_that_crashed_is_read(tmp_path, size):
    path = tmp_path / "a.wav"
    soundfile.write(path, RAMP, 16000)
    content = path.read_bytes()
    size = size.to_bytes(4, "little")
    path.write_bytes(content[:4] + size + content[8:40] + size + content[44:])
    np.testing.assert_allclose(decode_audio(path), RAMP, atol=1e-4)


def without_count(flac):
    return flac[:18] + bytes([flac[18], flac[19], flac[20], flac[21] & 0xF0]) + bytes(4) + flac[26:]


def test_flac_written_to_a_pipe_is_read_by_ffmpeg(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(path, RAMP, 16000)
    path.write_bytes(without_count(path.read_bytes()))
    if shutil.which("ffmpeg"):
        np.testing.assert_allclose(decode_audio(path), RAMP, atol=1e-4)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"FLAC of unstated length.*ffmpeg can: install it"):
        decode_audio(path)


@needs_ffmpeg
def test_a_container_of_ffmpeg_is_known_by_its_content(convert):
    path = convert("a.m4a")
    assert abs(len(decode_audio(path.rename(path.with_suffix(".mp3")))) - 32_000) < 2048


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.wav is empty"),
        (b"<!DOCTYPE html><html>", "a.wav is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_what_is_no_sound_is_named(tmp_path, content, message):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        decode_audio(tmp_path / "a.wav")


def test_a_file_without_permission_says_so(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", RAMP, 16000)

    def refuse(path, *args):
        # Root may read everything.
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ValueError, match=r"a\.wav may not be read; change its permissions"):
        decode_audio(tmp_path / "a.wav")
    assert check_audio(tmp_path / "a.wav")["why"] == "may not be read; change its permissions"


def test_floats_in_the_range_of_integers_are_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", RAMP * 65534, 16000, subtype="FLOAT")
    with pytest.raises(ValueError, match="up to 32767; divide them by that, or integers"):
        decode_audio(tmp_path / "a.wav")
    record = check_audio(tmp_path / "a.wav")
    assert (record["verdict"], record["peak"], record["duration"]) == ("unreadable", 32767, 5)
