"""`write_records`: whole shards or none, the same to the byte however they came to be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_asit.data import LabeledClips, decode_audio, read_record_index, write_records
from keras_asit.data.records import format as record_format
from keras_asit.data.records.format import RecordFormat
from keras_asit.models import ASiTAudioConverter

CONVERTER = ASiTAudioConverter(num_mels=32)
RECIPE = Path(__file__).parents[3] / "recipes" / "write_records.py"


@pytest.fixture
def recordings(tmp_path, write_noise):
    """Paths of ten recordings of 0.3 to 1.2 s."""
    return [write_noise(f"{index}.wav", 0.3 + index / 10) for index in range(10)]


def write(source, folder, **kwargs):
    arguments = {"clips_per_shard": 3, "num_workers": 1, "verbose": 0, **kwargs}
    return write_records(source, folder, **arguments)


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def examples(folder):
    """Yield the features of all records, in the order of shards, as Python values."""
    for shard in read_record_index(folder)["shards"]:
        for content in tf.data.TFRecordDataset(str(folder / shard["name"])):
            features = tf.train.Example.FromString(content.numpy()).features.feature
            yield {
                name: list(value.bytes_list.value or value.int64_list.value)
                for name, value in features.items()
            }


def paths_of(folder):
    return [os.fsdecode(example["path"][0]) for example in examples(folder)]


def test_every_file_is_in_one_record(recordings, tmp_path):
    index = write(recordings, tmp_path / "records")
    assert sorted(paths_of(tmp_path / "records")) == [str(path) for path in recordings]
    assert index == read_record_index(tmp_path / "records")
    assert (index["files"], index["records"], index["skipped"]) == (10, 10, [])
    assert [shard["records"] for shard in index["shards"]] == [3, 3, 2, 2]


def test_neighbors_in_the_manifest_are_in_different_shards(recordings, tmp_path):
    write(recordings, tmp_path / "records")
    assert paths_of(tmp_path / "records")[:3] == [str(recordings[index]) for index in (0, 4, 8)]


def test_waveforms_keep_16_bits(recordings, tmp_path):
    write(recordings, tmp_path / "records")
    for example in examples(tmp_path / "records"):
        samples = np.frombuffer(example["audio"][0], "<i2")
        expected, _ = soundfile.read(os.fsdecode(example["path"][0]), dtype="int16")
        np.testing.assert_array_equal(samples, expected)
        assert example["samples"] == [len(expected)]


def test_waveforms_beyond_16_bits_are_clipped(tmp_path):
    soundfile.write(tmp_path / "loud.wav", np.tile([1.5, -1.5], 500), 16000, subtype="FLOAT")
    write([tmp_path / "loud.wav"], tmp_path / "records")
    (example,) = examples(tmp_path / "records")
    assert np.frombuffer(example["audio"][0], "<i2")[:2].tolist() == [32767, -32768]


def test_log_mels_are_the_filterbanks_in_half_precision(recordings, tmp_path):
    write(recordings, tmp_path / "records", content="log_mel", converter=CONVERTER)
    filterbank = ASiTAudioConverter(num_mels=32).filterbank
    filterbank = tf.function(filterbank, [tf.TensorSpec([None], tf.float32)])
    for example in examples(tmp_path / "records"):
        log_mels = np.frombuffer(example["audio"][0], "<f2").reshape(-1, 32)
        waveform = decode_audio(os.fsdecode(example["path"][0]))
        assert len(log_mels) == -(-len(waveform) // 160)
        expected = filterbank(np.pad(waveform, (0, 400))).numpy()[: len(log_mels)]
        np.testing.assert_allclose(log_mels, expected, atol=1e-2)


def test_files_are_kept_as_they_are(recordings, tmp_path):
    index = write(recordings, tmp_path / "records", content="encoded")
    assert index["sample_rate"] is None
    for example in examples(tmp_path / "records"):
        assert example["audio"][0] == Path(os.fsdecode(example["path"][0])).read_bytes()


def test_a_long_recording_becomes_pieces_of_the_same_length(tmp_path, write_noise):
    path = write_noise("long.wav", 5)
    index = write([path], tmp_path / "records", max_seconds=2)
    assert index["records"] == 3
    pieces = [
        (example["start"][0], example["samples"][0]) for example in examples(tmp_path / "records")
    ]
    assert pieces == [(0, 26666), (26666, 26667), (53333, 26667)]


def test_statistics_of_log_mels_are_those_that_a_converter_adapts_to(recordings, tmp_path):
    index = write(recordings, tmp_path / "records", content="log_mel", converter=CONVERTER)
    converter = ASiTAudioConverter(num_mels=32)
    converter.adapt([decode_audio(path) for path in recordings])
    expected = [converter.mean, converter.standard_deviation]
    np.testing.assert_allclose([index["mean"], index["standard_deviation"]], expected, rtol=1e-9)


def test_labels_and_the_names_of_classes_are_kept(recordings, tmp_path):
    labels = [(index % 2, 2) if index else () for index in range(10)]
    clips = LabeledClips([str(path) for path in recordings], labels, ["a", "b", "c"])
    assert write(clips, tmp_path / "records")["class_names"] == ["a", "b", "c"]
    found = {os.fsdecode(e["path"][0]): tuple(e["labels"]) for e in examples(tmp_path / "records")}
    assert found == dict(zip(clips.paths, labels))


@pytest.mark.parametrize("content", ["waveform", "encoded", "log_mel"])
def test_unreadable_files_are_skipped_counted_and_named(content, recordings, bad_files, tmp_path):
    with pytest.warns(UserWarning, match=r"Skipped 4 of 14 audio files: .*\(has no samples\)"):
        index = write([*recordings, *bad_files], tmp_path / "records", content=content)
    assert index["records"] == 10
    skipped = {file["path"]: file["reason"] for file in index["skipped"]}
    assert set(skipped) == {str(path) for path in bad_files}
    for path, reason in bad_files.items():
        assert reason in skipped[str(path)]


def test_nothing_readable_is_an_error(bad_files, tmp_path):
    with pytest.raises(ValueError, match="None of 4 audio files could be read"):
        write(list(bad_files), tmp_path / "records")
    assert not (tmp_path / "records" / "index.json").exists()


def test_an_interrupted_run_goes_on_and_leaves_the_same_files(recordings, tmp_path, monkeypatch):
    write(recordings, tmp_path / "whole", content="log_mel")
    made = []
    serialize = record_format.serialize_example

    def stop_in_the_third_shard(features):
        made.append(features["path"])
        if len(made) == 8:
            raise KeyboardInterrupt
        return serialize(features)

    monkeypatch.setattr(record_format, "serialize_example", stop_in_the_third_shard)
    with pytest.raises(KeyboardInterrupt):
        write(recordings, tmp_path / "records", content="log_mel")
    assert len(list((tmp_path / "records").glob("*.tfrecord"))) == 2
    with pytest.raises(ValueError, match=r"has no index.json.*not finished"):
        read_record_index(tmp_path / "records")
    write(recordings, tmp_path / "records", content="log_mel")
    # The two finished shards, of three files each, were not made again.
    assert len(made) == 8 + 4
    assert files_of(tmp_path / "records") == files_of(tmp_path / "whole")


def test_a_disk_that_is_full_is_an_error_and_not_a_bad_file(recordings, tmp_path, monkeypatch):
    class FullDisk:
        def __init__(self, path):
            Path(path).write_bytes(b"half of it")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, _):
            raise OSError("No space left on device")

    monkeypatch.setattr(tf.io, "TFRecordWriter", FullDisk)
    with pytest.raises(OSError, match="No space left"):
        write(recordings, tmp_path / "records")
    assert set(files_of(tmp_path / "records")) == {"parameters.json", "plan.jsonl"}


@pytest.mark.parametrize("content", [b"{", b"{}", b"[]"])
def test_a_shard_with_a_damaged_summary_is_made_again(content, recordings, tmp_path):
    write(recordings, tmp_path / "records")
    expected = files_of(tmp_path / "records")
    next((tmp_path / "records").glob("clips-*.json")).write_bytes(content)
    write(recordings, tmp_path / "records")
    assert files_of(tmp_path / "records") == expected


def test_shards_of_other_records_are_made_again(recordings, tmp_path):
    write(recordings, tmp_path / "expected", content="log_mel")
    write(recordings, tmp_path / "records", content="waveform")
    (tmp_path / "records" / "parameters.json").unlink()
    write(recordings, tmp_path / "records", content="log_mel")
    assert files_of(tmp_path / "records") == files_of(tmp_path / "expected")


def test_a_file_that_may_have_no_sample_at_a_lower_rate_is_not_kept(tmp_path, write_noise):
    paths = [
        write_noise("tiny.wav", seconds=2 / 96000, sample_rate=96000),
        write_noise("whole.wav"),
    ]
    with pytest.warns(UserWarning, match="tiny.wav .*shorter than a millisecond"):
        index = write(paths, tmp_path / "records", content="encoded")
    assert index["records"] == 1


def test_damaged_and_missing_shards_are_made_again(recordings, tmp_path):
    write(recordings, tmp_path / "records")
    expected = files_of(tmp_path / "records")
    first, second, *_ = sorted((tmp_path / "records").glob("*.tfrecord"))
    first.unlink()
    damaged = bytearray(second.read_bytes())
    damaged[1000] ^= 1
    second.write_bytes(damaged)
    write(recordings, tmp_path / "records")
    assert files_of(tmp_path / "records") == expected


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"content": "encoded"}, "content"),
        ({"converter": ASiTAudioConverter(8000)}, "sample_rate"),
        ({"max_seconds": 2}, "max_seconds"),
        ({"clips_per_shard": 4}, "clips_per_shard"),
    ],
)
def test_a_folder_of_other_records_is_refused(kwargs, name, recordings, tmp_path):
    write(recordings, tmp_path / "records")
    with pytest.raises(ValueError, match=f"made otherwise .*{name}.*give another folder"):
        write(recordings, tmp_path / "records", **kwargs)
    with pytest.raises(ValueError, match=r"made otherwise .*plan_sha256"):
        write(recordings[::-1], tmp_path / "records")


def test_a_shard_of_a_file_that_has_changed_is_made_again(recordings, tmp_path, write_noise):
    write(recordings, tmp_path / "records")
    before = files_of(tmp_path / "records")
    write_noise(recordings[4].name, 0.1)
    index = write(recordings, tmp_path / "records")
    after = files_of(tmp_path / "records")
    changed = {name for name in after if after[name] != before[name]}
    shard = "clips-00000-of-00004"
    assert changed == {f"{shard}.tfrecord", f"{shard}.json", "index.json"}
    assert index == write(recordings, tmp_path / "anew")
    assert after == files_of(tmp_path / "anew")


def test_a_file_that_can_be_read_after_all_is_no_longer_skipped(
    recordings, bad_files, tmp_path, monkeypatch
):
    source = [*recordings, *bad_files]
    examples = RecordFormat.examples

    def fail_once(record_format, path, *args):
        if path == str(recordings[4]):
            raise OSError("Stale file handle")
        yield from examples(record_format, path, *args)

    with monkeypatch.context() as failing, pytest.warns(UserWarning, match="Skipped 5 of 14"):
        failing.setattr(RecordFormat, "examples", fail_once)
        write(source, tmp_path / "records")
    with pytest.warns(UserWarning, match="Skipped 4 of 14"):
        write(source, tmp_path / "records")
        write(source, tmp_path / "whole")
    assert files_of(tmp_path / "records") == files_of(tmp_path / "whole")


def test_shards_with_files_that_stay_unreadable_are_kept(
    recordings, bad_files, tmp_path, monkeypatch
):
    with pytest.warns(UserWarning, match="Skipped 4 of 14"):
        write([*recordings, *bad_files], tmp_path / "records")
    monkeypatch.setattr(tf.io, "TFRecordWriter", None)
    with pytest.warns(UserWarning, match="Skipped 4 of 14"):
        write([*recordings, *bad_files], tmp_path / "records")


def test_of_partial_files_only_its_own_are_deleted(recordings, tmp_path):
    folder = tmp_path / "records"
    write(recordings, folder)
    kept = {f".a.{32 * '0'}.partial", ".clips-00000-of-00004.json.partial", "mine.partial"}
    own = {
        f".{name}.{32 * '0'}.partial"
        for name in ("clips-00000-of-00004.tfrecord", "plan.jsonl", "index.json")
    }
    (folder / "folder.partial").mkdir()
    for name in kept | own:
        (folder / name).touch()
    with pytest.raises(ValueError, match="made otherwise"):
        write(recordings, folder, content="encoded")
    assert {path.name for path in folder.iterdir() if path.suffix == ".partial"} == {
        "folder.partial",
        *kept,
        *own,
    }
    write(recordings, folder)
    assert {path.name for path in folder.iterdir() if path.suffix == ".partial"} == {
        "folder.partial",
        *kept,
    }


@pytest.mark.slow
def test_processes_make_the_same_files_as_one(recordings, tmp_path):
    write(recordings, tmp_path / "one", content="log_mel")
    write(recordings, tmp_path / "two", content="log_mel", num_workers=2)
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


def test_beam_makes_the_same_files(recordings, bad_files, tmp_path):
    pytest.importorskip("apache_beam", reason="needs the extra `beam`")
    source = [*recordings, *bad_files]
    with pytest.warns(UserWarning, match="Skipped 4 of 14"):
        write(source, tmp_path / "plain", content="log_mel")
    with pytest.warns(UserWarning, match="Skipped 4 of 14"):
        write(source, tmp_path / "beam", content="log_mel", beam_options=["--runner=DirectRunner"])
    assert files_of(tmp_path / "beam") == files_of(tmp_path / "plain")


def test_without_beam_the_error_names_the_extra(recordings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ImportError, match=r"keras-asit\[beam\]"):
        write(recordings, tmp_path / "records", beam_options=["--runner=DirectRunner"])
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"content": "mp3"}, "`content` must be one of 'encoded', 'waveform', 'log_mel'"),
        ({"max_seconds": 0.5}, "`max_seconds` must be a number of at least 1"),
        ({"clips_per_shard": 0}, "`clips_per_shard` must be a positive integer"),
        ({"num_workers": 0}, "`num_workers` must be a positive integer"),
        ({"converter": 16000}, "`converter` must be an ASiTAudioConverter. Received: int"),
    ],
)
def test_arguments_are_checked(kwargs, message, recordings, tmp_path):
    with pytest.raises(ValueError, match=message):
        write(recordings, tmp_path / "records", **kwargs)
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize("arguments", [{"sample_rate": 0}, {"num_mels": 1.5}])
def test_a_front_end_of_no_rate_or_no_mels_is_refused(arguments, recordings, tmp_path):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be .* integer"):
        write(recordings, tmp_path / "records", converter=ASiTAudioConverter(**arguments))


@pytest.mark.slow
def test_killed_at_any_moment_the_recipe_goes_on_to_the_same_files(recordings, tmp_path):
    def command(folder):
        flags = ["--content", "log_mel", "--clips-per-shard", "1", "--workers", "2"]
        return [sys.executable, RECIPE, tmp_path, folder, *flags]

    environment = {**os.environ, "PYTHONPATH": str(RECIPE.parents[1])}
    whole, records = tmp_path / "whole", tmp_path / "records"
    subprocess.run(command(whole), check=True, capture_output=True, env=environment)
    for shards_made in (1, 4, 8):
        process = subprocess.Popen(
            command(records), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        while process.poll() is None and len(list(records.glob("*.tfrecord"))) < shards_made:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(records), check=True, capture_output=True, env=environment)
    assert files_of(records) == files_of(whole)
