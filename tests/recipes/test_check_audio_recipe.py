"""The recipe that checks a whole collection."""

import csv
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_asit.data import checking

RECIPE = Path(__file__).parents[2] / "recipes" / "check_audio.py"


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ("a.wav", "b.ogg"):
        soundfile.write(folder / name, generator.uniform(-0.5, 0.5, 4000), 16000)
    return folder


@pytest.fixture
def check(monkeypatch, tmp_path, capsys):
    """Return a function that runs the recipe and returns status, summary and rows."""

    def run(source, *arguments):
        report = tmp_path / "reports" / "report.csv"
        flags = ["--output", report, "--workers", "2", *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, [RECIPE, source, *flags])))
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(RECIPE), run_name="__main__")
        rows = list(csv.DictReader(report.open(encoding="utf-8"))) if report.exists() else None
        assert [path.name for path in report.parent.glob("*")] in ([], ["report.csv"])
        return stopped.value.code, capsys.readouterr().out, rows

    return run


def test_a_sound_collection_gives_status_0(check, recordings):
    status, summary, rows = check(recordings)
    assert status == 0
    assert "2 ok" in summary
    assert [Path(row["path"]).name for row in rows] == ["a.wav", "b.ogg"]
    assert rows[0]["duration"] == "0.25"


def test_every_file_has_a_verdict_and_the_status_tells(check, recordings):
    (recordings / "c.flac").write_bytes(b"nonsense")
    soundfile.write(recordings / "d.wav", np.zeros(100), 16000)
    with open(os.path.join(os.fsencode(recordings), b"\xe9.wav"), "wb"):
        pass
    status, summary, rows = check(recordings)
    assert status == 1
    assert "2 ok" in summary and "1 silent: " in summary
    (unreadable,) = [line for line in summary.splitlines() if "2 unreadable: " in line]
    assert all(row["path"] in unreadable for row in rows if row["verdict"] == "unreadable")
    assert "5 files" in summary
    verdicts = {Path(row["path"]).name: row["verdict"] for row in rows}
    assert verdicts["c.flac"] == verdicts["\\udce9.wav"] == "unreadable"


def test_files_that_crash_or_hang_the_decoder_have_a_verdict_too(check, recordings, monkeypatch):
    outcomes = [(None, "crashed"), (None, "timed out")]
    monkeypatch.setattr(checking, "isolated_map", lambda *_, **__: iter(outcomes))
    status, summary, rows = check(recordings)
    assert status == 1
    assert "1 crashed" in summary
    assert [row["verdict"] for row in rows] == ["crashed", "timed out"]
    assert [Path(row["path"]).name for row in rows] == ["a.wav", "b.ogg"]


def test_an_mp3_damaged_within_a_frame_is_named(check, recordings):
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 32000)
    soundfile.write(recordings / "c.mp3", noise, 16000)
    content = bytearray((recordings / "c.mp3").read_bytes())
    frame = content.find(content[:2], len(content) // 2)
    content[frame + 4 : frame + 34] = bytes(30 * [0x7E])
    (recordings / "c.mp3").write_bytes(content)
    status, summary, rows = check(recordings)
    assert status == 1
    assert "2 ok" in summary and "1 damaged" in summary
    assert rows[2]["verdict"] == "damaged" and rows[2]["why"]


def test_an_interrupted_check_leaves_nothing(check, recordings, monkeypatch):
    def outcomes(*_, **__):
        yield {"path": "a.wav", "verdict": "ok"}, None
        raise KeyboardInterrupt

    monkeypatch.setattr(checking, "isolated_map", outcomes)
    status, _, rows = check(recordings)
    assert status == 130
    assert rows is None


def test_a_manifest_of_missing_files_is_refused_before_any_work(check, recordings):
    (recordings / "list.txt").write_text("a.wav\nz.wav\n")
    status, _, rows = check(recordings / "list.txt")
    assert "1 of 2 files that do not exist" in status
    assert rows is None
