"""`read_manifest`: which audio files a folder, a list or a manifest names."""

import json
import os

import pytest
import soundfile

from keras_asit.data import decode_audio, read_manifest


@pytest.fixture
def folder(tmp_path):
    """A folder with audio files at several depths, and other files (all empty)."""
    for name in ("b.wav", "a.FLAC", "deep/er/c.mp3", "deep/d.Opus", "notes.md", "deep/._b.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(paths, folder):
    return [os.path.relpath(path, folder) for path in paths]


def test_a_folder_is_searched_for_audio_files_in_sorted_order(folder):
    paths = read_manifest(folder)
    assert names(paths, folder) == ["a.FLAC", "b.wav", "deep/d.Opus", "deep/er/c.mp3"]
    assert paths == read_manifest(str(folder))


@pytest.mark.parametrize(
    "name, form",
    [
        ("a.w64", "W64"),
        ("a.rf64", "RF64"),
        ("a.aifc", "AIFF"),
        ("a.caf", "CAF"),
        ("a.snd", "AU"),
        ("a.sph", "NIST"),
        ("a.avr", "AVR"),
        ("a.voc", "VOC"),
        ("a.wave", "WAV"),
        ("a.nist", "NIST"),
        ("a.sf", "IRCAM"),
        ("a.pvf", "PVF"),
        ("a.svx", "SVX"),
        ("a.paf", "PAF"),
    ],
)
def test_rarer_formats_are_found_and_decoded(tmp_path, name, form):
    soundfile.write(tmp_path / name, [0.25] * 100, 16000, format=form)
    (path,) = read_manifest(tmp_path)
    assert decode_audio(path).tolist() == [0.25] * 100


def test_links_to_folders_are_followed_and_loops_are_not(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.wav").touch()
    (elsewhere / "back").symlink_to(folder)
    (folder / "all").symlink_to(folder / "deep")
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "link").symlink_to(elsewhere)
    (folder / "link again").symlink_to(elsewhere)
    expected = ["a.FLAC", "b.wav", "deep/d.Opus", "deep/er/c.mp3", "link/x.wav"]
    assert names(read_manifest(folder), folder) == expected


def test_links_that_lead_nowhere_are_counted_and_named(folder):
    (folder / "deep" / "gone.WAV").symlink_to(folder / "not there.wav")
    (folder / "disk").symlink_to(folder / "not mounted")
    (folder / ".hidden.wav").symlink_to(folder / "not there.wav")
    (folder / "good.wav").symlink_to(folder / "b.wav")
    os.mkfifo(folder / "pipe.wav")
    expected = (
        r"left out 3 links that lead nowhere, .*'.*/deep/gone\.WAV', '.*/disk', '.*pipe\.wav'"
    )
    with pytest.warns(UserWarning, match=expected) as caught:
        paths = read_manifest(folder)
    assert len(caught) == 1
    assert names(paths, folder)[:3] == ["a.FLAC", "b.wav", "deep/d.Opus"]
    assert len(paths) == 5


def test_a_folder_that_cannot_be_searched_is_named(folder, monkeypatch):
    search = os.scandir

    def refuse(path):
        if str(path).endswith("er"):
            raise PermissionError(13, "Permission denied", path)
        return search(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OSError, match=r"deep/er' cannot be searched; .*: Permission denied"):
        read_manifest(folder)


def test_a_list_keeps_its_order_and_becomes_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert read_manifest(["b.wav", folder / "a.FLAC"]) == [
        str(folder / "b.wav"),
        str(folder / "a.FLAC"),
    ]


@pytest.mark.parametrize(
    "name, content",
    [
        ("list.txt", "b.wav\n\n  deep/er/c.mp3 \r\n"),
        ("list.csv", "label,path\ndog,b.wav\ncat,deep/er/c.mp3\n"),
        ("list.csv", "\ufefffilename,label\r\nb.wav,dog\r\ndeep/er/c.mp3,cat\r\n"),
        ("list.csv", 'wav, file\nx, b.wav\ny, "deep/er/c.mp3"\n'),
        ("list.csv", "FileName;Label\nb.wav;dog\ndeep/er/c.mp3;cat, tame\n"),
        ("list.tsv", "label\tWAV_path\r\ndog\tb.wav\r\ncat\tdeep/er/c.mp3\r\n"),
        ("list.csv", "fname,label,,\nb.wav ,dog,,\n,,,\n\n  \ndeep/er/c.mp3,cat,,\n,,\n"),
        ("list.csv", "audio\nb.wav\ndeep\\er\\c.mp3\n"),
        ("list.txt", "b.wav \n.\\deep\\er\\c.mp3\n"),
        ("list.txt", "# chosen by ear\nb.wav\n#a.FLAC\ndeep/er/c.mp3\n"),
        ("list.csv", '# by "ear\nfile_name,label\nb.wav,dog\n#a.FLAC,cat\ndeep/er/c.mp3,cat\n'),
        ("list.csv", "path,label\nb.wav,dog, large\ndeep/er/c.mp3,cat\n"),
        ("list.JSON", json.dumps({"data": [{"wav": "b.wav"}, {"wav": "deep/er/c.mp3"}]})),
    ],
)
def test_paths_of_a_manifest_start_at_its_folder(folder, name, content):
    (folder / name).write_text(content, encoding="utf-8", newline="")
    assert names(read_manifest(folder / name), folder) == ["b.wav", "deep/er/c.mp3"]


def test_absolute_paths_of_a_manifest_stay_as_they_are(folder):
    manifest = folder / "deep" / "list.txt"
    manifest.write_text(str(folder / "b.wav"))
    assert read_manifest(manifest) == [str(folder / "b.wav")]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("list.csv", "label,sound\ndog,b.wav\n", "path or filepath or .*columns: label,sound"),
        ("list.csv", 'path,label\nb.wav,"dog\na.FLAC,cat\n', "not valid CSV"),
        ("list.tsv", 'path\tlabel\nb.wav\t"dog\na.FLAC\tcat\n', "not valid TSV"),
        ("list.csv", "", "Its columns: none"),
        ("list.csv", "path,label\nb.wav,dog\n,cat\n", "Line 3 .* is empty in column 'path'"),
        ("list.json", '{"data": [', "not valid JSON"),
        ("list.json", '{"data": [{"path": "b.wav"}]}', "must have the form"),
        ("list.json", "[1, 2]", "must have the form"),
        ("list.json", '{"data": []}', "is empty"),
        ("list.json", "[" * 100_000, "not valid JSON"),
        ("list.csv", "path\n" + 200_000 * "b", "not valid CSV"),
        ("list.txt", "b.wav\nb.wav\nz.wav", "1 of 3 files that do not exist.*1 of 3 files more"),
        ("list.csv", "# YTID\nb, 0.0, 10.0\n", "must have the form 'identifier.*'b, 0.0, 10.0'"),
        ("list.csv", "# YTID\nb, zero, 10.0, dog\n", "times being seconds"),
        ("list.txt", "\n", "is empty"),
        ("list.yaml", "b.wav", "must be one of .txt, .csv, .tsv, .json"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_why(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_manifest(folder / name)


def test_a_manifest_in_another_encoding_says_so(folder):
    (folder / "list.txt").write_bytes("höre.wav".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        read_manifest(folder / "list.txt")


def test_all_missing_files_are_reported_at_once(folder):
    lines = ["b.wav"] + [f"missing{index}.wav" for index in range(7)]
    (folder / "list.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"names 7 of 8 files .*missing0.*missing4.wav', \.\.\."):
        read_manifest(folder / "list.txt")


@pytest.mark.parametrize(
    "source, message",
    [
        ([], r"at least one .*Received: \[\]"),
        ("", "Received: source=''"),
        ([3], "Received: 3"),
        (7, "must be a folder, a list of paths, or a"),
        ("nowhere/at/all", "does not exist"),
    ],
)
def test_other_sources_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        read_manifest(source)


def test_a_folder_without_audio_is_refused(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(ValueError, match=r"must hold an audio file; accepted are \.wav"):
        read_manifest(tmp_path)


def test_an_audio_file_by_itself_is_to_be_given_as_a_list(folder):
    with pytest.raises(ValueError, match="give audio files as a list"):
        read_manifest(folder / "b.wav")


def test_blanks_around_the_columns_of_a_csv_are_dropped(folder):
    (folder / "list.csv").write_text(" path , label\n b.wav , dog\n")
    assert read_manifest(folder / "list.csv") == [str(folder / "b.wav")]


def test_a_file_whose_name_starts_as_comments_do_is_one(folder):
    (folder / "#1.wav").touch()
    (folder / "list.txt").write_text("#1.wav\n#2.wav\nb.wav\n")
    assert names(read_manifest(folder / "list.txt"), folder) == ["#1.wav", "b.wav"]


def test_segments_of_audioset_name_the_files_beside_them(folder):
    (folder / "segments.csv").write_text('# YTID, start, end, labels\nb, 0.0, 10.0, "/m/09x0r"\n')
    assert read_manifest(folder / "segments.csv") == [str(folder / "b.wav")]


def test_files_for_ffmpeg_are_found_where_it_is_and_counted_where_it_is_not(folder, monkeypatch):
    for name in ("x.m4a", "deep/y.M4A", "z.webm", "deep/.hidden.m4a"):
        (folder / name).touch()
    (folder / "bin").mkdir()
    monkeypatch.setenv("PATH", str(folder / "bin"))
    with pytest.warns(UserWarning, match=r"left out 2 \.m4a, 1 \.webm files.*install") as caught:
        paths = read_manifest(folder)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert names(paths, folder) == ["a.FLAC", "b.wav", "deep/d.Opus", "deep/er/c.mp3"]
    for program in ("ffmpeg", "ffmpeg.exe"):
        (folder / "bin" / program).touch(mode=0o755)
    assert len(read_manifest(folder)) == 7


@pytest.mark.parametrize("table", ["path\na,b.wav\n", "label,path\ndog,a,b.wav\n"])
def test_a_path_with_commas_and_no_quotes_is_an_error(tmp_path, table):
    # Joined again, it might be another file's.
    for name in ("a,b.wav", "a, b.wav"):
        (tmp_path / name).touch()
    (tmp_path / "a.csv").write_text(table)
    with pytest.raises(ValueError, match=r"Line 2 .* more cells than .* in quotes"):
        read_manifest(tmp_path / "a.csv")
