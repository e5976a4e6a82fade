"""Files that are whole or not there, and folders of one process at a time."""

import hashlib
import os

import pytest

from keras_asit._files import locked_folder, replacing, sha256_of, write_whole


def test_what_was_not_written_to_its_end_is_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "report.csv") as partial:
        partial.touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_until_all_of_the_new_is_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    write_whole(path, b"old")

    def no_space(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match="No space left"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert sha256_of(path) == hashlib.sha256(b"new").hexdigest()
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_of_one_process_at_a_time(tmp_path):
    folder = tmp_path / "made" / "when needed"
    refused = pytest.raises(OSError, match="in use by another process")
    with locked_folder(folder), refused, locked_folder(folder):
        pass
    with locked_folder(folder):
        assert folder.is_dir()
