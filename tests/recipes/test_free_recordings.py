"""The list of the recordings of the preset that the package brings."""

import struct

import numpy as np
import soundfile
from free_recordings import recordings, unpack


def write_noise(path, seed, seconds=0.2):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, int(16000 * seconds))
    soundfile.write(path, noise, 16000)


def names(folder, source, heard=()):
    return [path.name for path in recordings(folder, source, folder / "output", set(heard))]


def test_what_is_short_or_repeats_another_is_left_out(tmp_path):
    for name, seed, seconds in (("a", 1, 0.2), ("b", 1, 0.2), ("c", 2, 0.05), ("d", 3, 7.0)):
        write_noise(tmp_path / "source" / f"{name}.wav", seed, seconds)
    assert names(tmp_path / "source", "body_percussion") == ["a.wav", "d.wav"]
    assert names(tmp_path / "source", "rhasspy-kerstin") == ["a.wav"]


def test_of_some_sources_only_what_is_free_is_listed(tmp_path):
    for index, name in enumerate(("athena-1", "athena-2", "computer-1")):
        write_noise(tmp_path / name.split("-")[0] / f"{name}.wav", index)
    (tmp_path / "licenses").mkdir()
    (tmp_path / "licenses" / "one.txt").write_text("athena/athena-1.wav\ncomputer/computer-1.wav")
    assert names(tmp_path, "mycroft-precise-community") == ["athena-1.wav"]


def test_samples_of_a_soundfont_are_unpacked_and_of_pairs_the_left(tmp_path):
    samples = np.arange(100, dtype="<i2")
    kinds = {"mono": (0, 40, 1), "right": (40, 70, 2), "left": (70, 100, 4), "EOS": (0, 0, 0)}
    headers = b"".join(
        struct.pack("<20s5IBbHH", name.encode(), first, last, 0, 0, 8000, 60, 0, 0, kind)
        for name, (first, last, kind) in kinds.items()
    )
    chunks = [(b"smpl", samples.tobytes()), (b"shdr", headers)]
    content = b"".join(name + struct.pack("<I", len(body)) + body for name, body in chunks)
    (tmp_path / "font.sf2").write_bytes(b"RIFF" + content)
    sounds = [
        soundfile.read(path, dtype="int16") for path in unpack(tmp_path / "font.sf2", tmp_path)
    ]
    assert [rate for _, rate in sounds] == [8000, 8000]
    assert np.concatenate([sound for sound, _ in sounds]).tolist() == [*range(40), *range(70, 100)]
