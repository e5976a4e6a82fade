"""Datasets of records: the batches that files give."""

import functools
import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_asit.data import (
    LabeledClips,
    ReadLog,
    Start,
    audio_dataset,
    decode_audio,
    pretraining_dataset,
    read_record_index,
    write_records,
)
from keras_asit.models import ASiTAudioConverter

CONTENTS = ("waveform", "encoded", "log_mel")
# Log-mels in half precision are within 1/128 where they are below -8, before they are normalized.
HALF_PRECISION = 1e-2
# What is stored does not depend on the number of frames.
CONVERTER = ASiTAudioConverter(num_mels=32)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Paths of twelve recordings of 0.2 to 1.3 s."""
    import soundfile

    folder = tmp_path_factory.mktemp("noise")
    generator = np.random.default_rng(1)
    paths = [folder / f"{index:02}.wav" for index in range(12)]
    for index, path in enumerate(paths):
        level = generator.uniform(0.1, 1)
        samples = generator.uniform(-level, level, 3200 + 1600 * index)
        soundfile.write(path, samples, 16000, subtype="PCM_16")
    return paths


@pytest.fixture(scope="module")
def records(noise, tmp_path_factory):
    """Folders of records of each kind, in shards of two clips."""
    folder = tmp_path_factory.mktemp("records")
    for content in CONTENTS:
        write(noise, folder / content, content=content)
    return folder


def write(source, folder, **kwargs):
    arguments = {
        "converter": CONVERTER,
        "clips_per_shard": 2,
        "num_workers": 1,
        "verbose": 0,
        **kwargs,
    }
    return write_records(source, folder, **arguments)


def read(folder, **kwargs):
    crop_seconds = kwargs.pop("crop_seconds", 0.5)
    converter = ASiTAudioConverter(
        kwargs.pop("sample_rate", 16000), num_mels=kwargs.pop("num_mels", 32)
    )
    frames = converter.frames_in(crop_seconds, 16) or 1
    converter = ASiTAudioConverter(converter.sample_rate, frames, converter.num_mels)
    return pretraining_dataset(
        folder, **{"converter": converter, "batch_size": 2, "crop_seconds": crop_seconds, **kwargs}
    )


def views(dataset, name="clean"):
    return np.concatenate([batch[name].numpy() for batch in dataset])


def stored_order(paths, clips_per_shard=2):
    """Return paths in the order in which shards hold them."""
    number = -(-len(paths) // clips_per_shard)
    return [path for shard in range(number) for path in paths[shard::number]]


def log_mels_from_each_start(waveform, crop=8000):
    """Return the spectrograms of all crops that start on a frame, zeros behind a short clip."""
    waveform = np.pad(waveform, (0, max(0, crop - len(waveform))))
    starts = range(0, len(waveform) - crop + 1, 160)
    crops = np.stack([waveform[start : start + crop] for start in starts])
    return converter_of_crops()(crops).numpy()


@functools.cache
def converter_of_crops():
    """Return the converter of crops of 0.5 s as a graph, which JAX need not compile."""
    converter = ASiTAudioConverter(num_frames=48, num_mels=32)
    return tf.function(converter, [tf.TensorSpec([None, 8000], tf.float32)])


@pytest.mark.parametrize("content", CONTENTS)
def test_batches_are_those_that_the_pretrainer_takes(content, records):
    dataset = read(records / content, num_short_crops=3, short_crop_seconds=0.25)
    assert dataset.element_spec == {
        "clean": tf.TensorSpec([2, 2, 48, 32], tf.float32),
        "short": tf.TensorSpec([2, 3, 16, 32], tf.float32),
    }
    assert dataset.cardinality() == len(list(dataset)) == 6


@pytest.mark.parametrize("content", ["waveform", "encoded"])
def test_crops_of_waveforms_are_slices_of_the_files(content, records, noise):
    dataset = read(records / content, spectrograms=False, shuffle=False, roll_probability=0)
    for path, crops in zip(stored_order(noise), views(dataset)):
        waveform = decode_audio(path)
        waveform = np.pad(waveform, (0, max(0, 8000 - len(waveform))))
        windows = np.lib.stride_tricks.sliding_window_view(waveform, 8000)
        for crop in crops:
            assert np.any(np.all(windows == crop, axis=1))


@pytest.mark.parametrize("content", CONTENTS)
def test_views_are_the_converters_spectrograms_of_crops(content, records, noise):
    arguments = {"shuffle": False, "roll_probability": 0, "seed": 1}
    found = views(read(records / content, **arguments))
    for path, pair in zip(stored_order(noise), found):
        waveform = decode_audio(path)
        if content != "log_mel" and len(waveform) > 8000:
            continue  # Crops start anywhere; that they are slices is tested above.
        expected = log_mels_from_each_start(waveform)
        for view in pair:
            assert np.abs(expected - view).max(axis=(1, 2)).min() < HALF_PRECISION


def test_a_short_clip_of_log_mels_is_continued_with_the_log_mels_of_zeros(records, noise):
    found = views(read(records / "log_mel", shuffle=False, roll_probability=0))[0]
    converter = ASiTAudioConverter(num_frames=48, num_mels=32)
    padded = np.pad(decode_audio(noise[0]), (0, 4800))
    expected = keras.ops.convert_to_numpy(converter(padded))
    silence = keras.ops.convert_to_numpy(converter(np.zeros(8000, "float32")))
    np.testing.assert_allclose(found, np.stack([expected] * 2), atol=HALF_PRECISION)
    np.testing.assert_allclose(found[:, 20:], np.stack([silence[20:]] * 2), atol=HALF_PRECISION)


def test_rolled_log_mels_are_the_same_frames_in_a_circle(records, noise):
    arguments = {"shuffle": False, "drop_remainder": False}
    plain = views(read(records / "log_mel", roll_probability=0, **arguments))[0, 0]
    rolled = views(read(records / "log_mel", roll_probability=1, seed=1, **arguments))[0, 0]
    # A clip of 0.2 s padded to 0.5 s has 50 frames, of which a view has 48.
    circle = np.concatenate([plain, plain[-1:], plain[-1:]])
    distances = [np.abs(np.roll(circle, offset, 0)[:48] - rolled).max() for offset in range(50)]
    assert min(distances) < 1e-6
    assert np.argmin(distances) > 0


def test_starts_of_log_mel_crops_are_uniform(tmp_path, noise):
    same = LabeledClips([str(noise[-1])] * 150, [()] * 150, [])
    write(same, tmp_path / "records", content="log_mel", clips_per_shard=150)
    dataset = read(tmp_path / "records", roll_probability=0, seed=1)
    expected = log_mels_from_each_start(decode_audio(noise[-1]))
    found = views(dataset).reshape(300, 48, 32)
    starts = [np.abs(expected - view).mean(axis=(1, 2)).argmin() for view in found]
    shares = np.histogram(starts, bins=4, range=(0, len(expected)))[0] / len(starts)
    np.testing.assert_allclose(shares, 0.25, atol=0.08)


def clip_lengths(dataset):
    """Return lengths in samples of clips that fit into a crop, which tell clips apart."""
    return [int(np.flatnonzero(crops[0])[-1]) + 1 for crops in views(dataset)]


def test_each_pass_has_every_clip_once_in_an_order_of_its_own(records):
    dataset = read(
        records / "waveform", crop_seconds=2, spectrograms=False, seed=1, roll_probability=0
    )
    passes = [clip_lengths(dataset) for _ in range(3)]
    for lengths in passes:
        np.testing.assert_allclose(sorted(lengths), 3200 + 1600 * np.arange(12), atol=3)
    assert len({tuple(lengths) for lengths in passes}) == 3


@pytest.mark.parametrize("seed", [1, None])
def test_a_log_tells_the_files_of_batches(records, seed):
    log = ReadLog()
    dataset = read(
        records / "waveform",
        crop_seconds=2,
        spectrograms=False,
        seed=seed,
        roll_probability=0,
        log=log,
    )
    for epoch in range(2):
        lengths = clip_lengths(dataset)
        for batch in range(6):
            files = log.files(epoch, batch, batch)
            expected = [len(decode_audio(file)) for file in files]
            np.testing.assert_allclose(lengths[2 * batch : 2 * batch + 2], expected, atol=3)
        assert log.files(epoch, 0, 5)[2:6] == log.files(epoch, 1, 2)


@pytest.mark.parametrize("content", ["waveform", "log_mel"])
def test_a_seed_repeats_every_pass_whatever_the_parallelism(content, records):
    def two_passes(seed, num_workers=None):
        dataset = read(records / content, seed=seed, num_workers=num_workers)
        return np.stack([views(dataset) for _ in range(2)])

    passes = two_passes(seed=1)
    assert np.abs(passes[0] - passes[1]).mean() > 0.01
    np.testing.assert_array_equal(two_passes(seed=1, num_workers=1), passes)
    tf.random.set_seed(99)
    np.testing.assert_array_equal(two_passes(seed=1, num_workers=4), passes)


def test_hosts_share_each_batch_of_one_host(records):
    def passes(**hosts):
        dataset = read(records / "log_mel", batch_size=4, seed=1, **hosts)
        return np.stack([batch["clean"] for _ in range(2) for batch in dataset])

    one = passes()
    two = [passes(num_hosts=2, host_index=index) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(two, axis=1), one)

    # And go on in the middle of a pass, with another number of them.
    middle = Start(epoch=1, batch=1)
    four = [passes(num_hosts=4, host_index=index, start=middle)[0] for index in range(4)]
    np.testing.assert_array_equal(np.concatenate(four), one[len(one) // 2 + 1])


def test_what_is_not_needed_is_not_read(records, monkeypatch):
    read_bytes = []

    class CountedFile(io.FileIO):
        def read(self, size=-1):
            content = super().read(size)
            read_bytes.append(len(content))
            return content

    monkeypatch.setattr(
        "keras_asit.data.records.shard.open", lambda path, mode: CountedFile(path), raising=False
    )

    def bytes_of_a_pass(**arguments):
        read_bytes.clear()
        for _ in read(records / "log_mel", batch_size=4, seed=1, **arguments):
            pass
        return sum(read_bytes)

    whole = bytes_of_a_pass()
    two = [bytes_of_a_pass(num_hosts=2, host_index=index) for index in range(2)]
    assert max(two) < 0.8 * whole
    assert sum(two) < 1.1 * whole
    assert bytes_of_a_pass(start=Start(epoch=0, batch=2)) < 0.8 * whole


def test_clips_that_do_not_fill_a_batch_are_left_out_or_make_a_smaller_one(records):
    sizes = [len(batch["clean"]) for batch in read(records / "log_mel", batch_size=5)]
    assert sizes == [5, 5]
    dataset = read(records / "log_mel", batch_size=5, drop_remainder=False)
    assert [len(batch["clean"]) for batch in dataset] == [5, 5, 2]
    assert dataset.cardinality() == 3


@pytest.mark.parametrize(
    ("content", "kwargs", "message"),
    [
        ("waveform", {"sample_rate": 8000}, "sample_rate=16000 instead of 8000"),
        ("log_mel", {"sample_rate": 8000}, "sample_rate=16000 instead of 8000"),
        ("log_mel", {"num_mels": 64}, "num_mels=32 instead of 64"),
    ],
)
def test_records_of_another_front_end_are_refused(content, kwargs, message, records):
    with pytest.raises(ValueError, match=f"another front end: {message}"):
        read(records / content, **kwargs)


def test_log_mels_of_another_filterbank_are_refused(tmp_path, noise):
    index = write(noise, tmp_path / "records", content="log_mel")
    index["front_end"]["low_frequency"] = 50.0
    (tmp_path / "records" / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"low_frequency=50.0 instead of 20.0"):
        read(tmp_path / "records")


def test_waveforms_and_files_serve_any_filterbank_and_files_any_rate(records):
    dataset = read(records / "waveform", num_mels=16)
    assert dataset.element_spec["clean"].shape == (2, 2, 48, 16)
    assert views(read(records / "encoded", sample_rate=8000)).shape == (12, 2, 48, 32)


def test_log_mels_have_no_waveforms(records):
    with pytest.raises(ValueError, match="holds log-mels, of which no waveforms can be made"):
        read(records / "log_mel", spectrograms=False)


def test_a_damaged_shard_is_named(tmp_path, noise):
    write(noise, tmp_path / "records")
    shard = sorted((tmp_path / "records").glob("*.tfrecord"))[3]
    content = bytearray(shard.read_bytes())
    content[-10] ^= 1
    shard.write_bytes(content)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Shard {shard} is damaged"):
        list(read(tmp_path / "records"))

    # Of two hosts, that which reads the shard's second record ends, and with it the training.
    hosts = [
        read(tmp_path / "records", num_hosts=2, host_index=host, shuffle=False) for host in (0, 1)
    ]
    assert len(list(hosts[0])) == 6
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Shard {shard} is damaged"):
        list(hosts[1])


def flip_content(content):
    content[len(content) // 2] ^= 1


def flip_length(content):
    content[6] ^= 64


def cut(content):
    del content[len(content) // 2 :]


@pytest.mark.parametrize("damage", [flip_content, flip_length, cut])
@pytest.mark.parametrize("hosts", [{}, {"num_hosts": 2, "host_index": 0}])
def test_damage_behind_the_first_pass_is_named(damage, hosts, tmp_path, noise):
    write(noise, tmp_path / "records", content="log_mel")
    dataset = read(tmp_path / "records", seed=1, **hosts)
    list(dataset)
    shards = sorted((tmp_path / "records").glob("*.tfrecord"))
    for shard in shards:
        content = bytearray(shard.read_bytes())
        damage(content)
        shard.write_bytes(content)
    # Which shard comes first, chance decides.
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Shard \S+\.tfrecord is damaged"):
        for _ in range(2):
            list(dataset)


def test_missing_and_shortened_shards_are_named_at_once(tmp_path, noise):
    write(noise, tmp_path / "records")
    first, second, *_ = sorted((tmp_path / "records").glob("*.tfrecord"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(ValueError) as error:
        read(tmp_path / "records")
    assert f"1 of 6 shards are missing: {first}" in str(error.value)
    assert f"1 of 6 shards have another size: {second}" in str(error.value)


def test_a_damaged_index_is_named(tmp_path, noise):
    write(noise, tmp_path / "records")
    (tmp_path / "records" / "index.json").write_text('{"shards": [')
    with pytest.raises(ValueError, match=r"index.json is damaged"):
        read(tmp_path / "records")


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no index.json"):
        read_record_index(tmp_path)
    with pytest.raises(ValueError, match="must hold an audio file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"batch_size": 13}, "12 records do not fill one batch"),
        ({"num_hosts": 0}, "`num_hosts` must be a positive integer"),
        ({"num_hosts": 2, "host_index": 2}, "`host_index` must be an integer from 0 to 1"),
        ({"crop_seconds": 0.1}, "`crop_seconds` must give at least 16 frames"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"num_workers": 0}, "`num_workers` must be a positive integer"),
    ],
)
def test_arguments_are_checked(kwargs, message, records):
    with pytest.raises(ValueError, match=message):
        read(records / "waveform", **kwargs)


@pytest.mark.parametrize("content", ["waveform", "encoded"])
def test_audio_dataset_has_the_waveforms_and_paths(content, records, noise):
    clips = {path.numpy().decode(): waveform for waveform, path in audio_dataset(records / content)}
    assert set(clips) == {str(path) for path in noise}
    for path, waveform in clips.items():
        np.testing.assert_array_equal(waveform, decode_audio(path))


def test_audio_dataset_refuses_log_mels_and_other_rates(records):
    with pytest.raises(ValueError, match="no waveforms can be made"):
        audio_dataset(records / "log_mel")
    with pytest.raises(ValueError, match="sample_rate=16000 instead of 8000"):
        audio_dataset(records / "waveform", sample_rate=8000)
