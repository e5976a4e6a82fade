"""The recipe that embeds a folder: whole, resumable, in two formats."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recipe_processes import start_process

from keras_asit import hear
from keras_asit.data import decode_audio

RECIPE = Path(__file__).parents[2] / "recipes" / "embed.py"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Nine recordings; of four others, that follow each other, none can be read."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(1)
    for index in range(9):
        samples = generator.uniform(-0.5, 0.5, 3000 * (index + 1))
        soundfile.write(folder / f"{index}.wav", samples, 16000)
    for index in range(4):
        (folder / f"2{index}.wav").write_bytes(b"no audio")
    return folder


def waveform_of(path):
    return decode_audio(path)[None]


@pytest.mark.slow
def test_a_killed_run_goes_on_without_losing_repeating_or_recomputing(
    preset, recordings, tmp_path, run_here
):
    output = tmp_path / "embeddings.parquet"
    arguments = [recordings, "--preset", preset, "--output", output, "--part-size", 2]
    process = start_process([RECIPE, *arguments], tmp_path / "log")
    parts = tmp_path / "embeddings.parquet.parts"
    while process.poll() is None and not list(parts.glob("00*.npz")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not output.exists()
    # Whoever computed the first part again would not find what this puts in it.
    first = dict(np.load(parts / "000000000.npz"))
    np.savez(
        parts / "000000000.npz", path=first["path"], embedding=np.ones_like(first["embedding"])
    )

    assert "9 of 13 recordings embedded" in run_here(*arguments)
    assert not parts.exists()
    table = pytest.importorskip("pyarrow.parquet").read_table(output).to_pydict()
    names = [os.path.basename(path) for path in table["path"]]
    assert names == [f"{index}.wav" for index in range(9)]
    embeddings = np.array(table["embedding"])
    assert (embeddings[:2] == 1).all()
    model = hear.load_model(preset)
    for path, embedding in list(zip(table["path"], embeddings))[2:]:
        expected = hear.get_scene_embeddings(waveform_of(path), model)
        np.testing.assert_allclose(embedding, expected[0], atol=1e-4)


@pytest.mark.slow
def test_embeds_frames_of_all_recordings(preset, recordings, tmp_path, run_here, capsys):
    output = tmp_path / "frames.npz"
    run_here(recordings, "--preset", preset, "--output", output, "--frames")
    printed = capsys.readouterr().err
    assert "4 of 13 recordings could not be read" in printed and "23.wav cannot be" in printed
    table = np.load(output)
    ends = np.cumsum(table["num_frames"])[:-1]
    frames, times = (np.split(table[name], ends) for name in ("embedding", "timestamp"))
    assert len(frames) == len(times) == len(table["path"]) == 9
    model = hear.load_model(preset)
    expected = hear.get_timestamp_embeddings(waveform_of(table["path"][-1]), model)
    np.testing.assert_allclose(frames[-1], expected[0][0], atol=1e-4)
    np.testing.assert_array_equal(times[-1], expected[1][0])


@pytest.mark.parametrize("name", ["table.npz", "table.parquet"])
def test_names_that_are_not_utf_8_are_escaped(preset, recordings, tmp_path, run_here, name):
    path = os.path.join(os.fsencode(tmp_path), b"\xe9.wav")
    shutil.copy(recordings / "0.wav", path)
    run_here(tmp_path, "--preset", preset, "--output", tmp_path / name)
    if name.endswith(".npz"):
        table = np.load(tmp_path / name)
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / name).to_pydict()
    assert list(table["path"]) == [f"{tmp_path}/\\udce9.wav"]


def test_does_not_mix_its_parts_with_those_of_another_run(preset, recordings, tmp_path, complaint):
    parts = tmp_path / "table.npz.parts"
    parts.mkdir()
    (parts / "fingerprint.txt").write_text("another")
    arguments = [recordings, "--preset", preset, "--output", tmp_path / "table.npz"]
    assert "holds parts of a run with other recordings" in complaint(*arguments)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--overlap", 0.95], "--overlap: must be between 0 and 0.9, not 0.95"),
        (["--batch-size", 0], "--batch-size: must be at least 1, not 0"),
        (["--part-size", 0], "--part-size: must be at least 1, not 0"),
    ],
)
def test_checks_flags_before_it_claims_the_output(
    preset, recordings, tmp_path, flags, message, complaint
):
    arguments = [recordings, "--preset", preset, "--output", tmp_path / "table.npz", *flags]
    assert message in complaint(*arguments)
    assert not list(tmp_path.iterdir())


def test_says_in_one_line_that_no_recording_can_be_read(preset, tmp_path, complaint):
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    arguments = [tmp_path, "--preset", preset, "--output", tmp_path / "table.npz"]
    printed = complaint(*arguments)
    assert printed.startswith("embed.py: None of the recordings could be read. ")
    assert "broken.wav cannot be decoded" in printed


def test_says_in_one_line_what_is_wrong_with_the_output(recordings, tmp_path, complaint):
    (tmp_path / "table.npz").touch()
    for name, flags, message in [
        ("table.npz", [], "exists already"),
        ("table.csv", [], "must end in .npz or"),
        ("table.parquet", ["--frames"], "must end in .npz or"),
    ]:
        arguments = [recordings, "--output", tmp_path / name, *flags]
        assert message in complaint(*arguments)


def test_says_in_one_line_that_a_folder_has_no_audio(tmp_path, complaint):
    arguments = [tmp_path, "--output", tmp_path / "table.npz"]
    printed = complaint(*arguments)
    assert printed.startswith(f"embed.py: Folder {str(tmp_path)!r}")
