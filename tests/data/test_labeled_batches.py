"""Batches of labeled clips."""

import numpy as np
import pytest
import soundfile

from keras_asit.data import (
    LabeledClips,
    ReadLog,
    Start,
    balanced_weights,
    labeled_dataset,
    write_records,
)


@pytest.fixture
def clips(write_noise):
    """Four clips of 0.1 to 0.4 s, of two classes."""
    paths = [str(write_noise(f"{index}.wav", 0.1 * (index + 1))) for index in range(4)]
    return LabeledClips(paths, [(0,), (1,), (0,), (1,)], ["cat", "dog"])


def test_clips_keep_their_lengths(clips):
    (waveforms, labels), (rest, _) = labeled_dataset(clips, batch_size=3)
    np.testing.assert_array_equal(waveforms.row_lengths(), [1600, 3200, 4800])
    np.testing.assert_array_equal(labels, [0, 1, 0])
    np.testing.assert_array_equal(rest.row_lengths(), [6400])


def test_longer_clips_are_cropped_at_random_places(clips):
    dataset = labeled_dataset(clips, crop_seconds=0.2, seed=3)
    whole, _ = next(iter(labeled_dataset(clips)))
    first, second = (waveforms for waveforms, _ in [*dataset, *dataset])
    np.testing.assert_array_equal(first.row_lengths(), [1600, 3200, 3200, 3200])
    np.testing.assert_array_equal(first[1], whole[1])
    windows = np.lib.stride_tricks.sliding_window_view(whole[3].numpy(), 3200)
    for crop in (first[3], second[3]):
        assert (windows == crop.numpy()).all(axis=1).any()
    assert not np.array_equal(first[3], second[3])


@pytest.mark.parametrize("sample_rate", [8000, 11127, 16000])
def test_of_a_long_file_little_more_than_the_crop_is_read(write_noise, monkeypatch, sample_rate):
    paths = [str(write_noise(f"{index}.wav", 20, sample_rate)) for index in range(3)]
    clips = LabeledClips(paths, [(0,)] * 3, ["cat"])
    frames = []
    read = soundfile.SoundFile.read

    def count_and_read(*args, **kwargs):
        block = read(*args, **kwargs)
        frames.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", count_and_read)
    ((waveforms, _),) = labeled_dataset(clips, crop_seconds=0.2, seed=1)
    assert waveforms.row_lengths().numpy().tolist() == [3200] * 3
    assert sum(frames) < 3 * 0.25 * sample_rate


def test_crops_of_a_long_file_lie_anywhere_in_it(tmp_path):
    ramp = np.arange(4 * 16000) / (4 * 16000)
    soundfile.write(tmp_path / "ramp.wav", ramp, 16000, subtype="FLOAT")
    clips = LabeledClips([str(tmp_path / "ramp.wav")], [(0,)], ["cat"])
    dataset = labeled_dataset(clips, crop_seconds=1, seed=1).repeat(100)
    starts = np.asarray([waveforms[0, 0] for waveforms, _ in dataset])
    # Of four equal parts of the 3 s where a crop can begin, each has about as many.
    counts, _ = np.histogram(starts, 4, (0, 0.75))
    assert counts.min() > 15


def test_shuffled_passes_repeat_from_run_to_run_and_differ_from_each_other(clips):
    def order(dataset):
        return [len(waveform) for waveforms, _ in dataset for waveform in waveforms.numpy()]

    dataset, again = (labeled_dataset(clips, shuffle=True, seed=2) for _ in range(2))
    passes = [order(dataset) for _ in range(4)]
    assert passes == [order(again) for _ in range(4)]
    assert len(set(map(tuple, passes))) > 1
    assert all(sorted(each) == [1600, 3200, 4800, 6400] for each in passes)


def test_labels_as_columns_of_several_or_of_one(clips):
    _, labels = next(iter(labeled_dataset(clips, one_hot=True)))
    np.testing.assert_array_equal(labels, [[1, 0], [0, 1], [1, 0], [0, 1]])
    several = LabeledClips(clips.paths, [(0, 1), (), (1,), (0,)], clips.class_names)
    _, labels = next(iter(labeled_dataset(several)))
    np.testing.assert_array_equal(labels, several.label_matrix())


def test_weights_draw_with_replacement(clips):
    rare = LabeledClips(clips.paths, [(0,), (0,), (0,), (1,)], clips.class_names)
    weights = balanced_weights(rare)
    dataset = labeled_dataset(rare, weights=weights, seed=1).repeat(100)
    labels = np.concatenate([labels for _, labels in dataset])
    assert len(labels) == 400
    assert abs(labels.mean() - 0.5) < 0.08


def test_a_clip_that_is_drawn_again_is_cropped_elsewhere(clips):
    def crops():
        (waveforms, labels), *_ = labeled_dataset(
            clips, crop_seconds=0.05, weights=[0, 1, 0, 0], seed=1
        )
        np.testing.assert_array_equal(labels, [1, 1, 1, 1])
        return [tuple(waveform.numpy()) for waveform in waveforms]

    first = crops()
    assert len(set(first)) == 4
    assert first == crops()


def test_unreadable_clips_drawn_with_replacement_are_named(clips, bad_files):
    paths = [str(next(iter(bad_files))), *clips.paths]
    mixed = LabeledClips(paths, [(0,)] + [(1,)] * 4, clips.class_names)
    dataset = labeled_dataset(mixed, weights=np.ones(5), seed=1).repeat(4)
    with pytest.warns(UserWarning, match="nonsense"):
        labels = np.concatenate([labels for _, labels in dataset])
    np.testing.assert_array_equal(labels, 1)


def test_unreadable_clips_are_skipped_with_their_labels(clips, bad_files):
    bad = [str(path) for path in bad_files]
    mixed = LabeledClips(bad + clips.paths, [(0,)] * 4 + [(1,)] * 4, clips.class_names)
    with pytest.warns(UserWarning, match="Skipped 4 of 8"):
        (_, labels), *rest = labeled_dataset(mixed)
    np.testing.assert_array_equal(labels, [1, 1, 1, 1])
    assert not rest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 16000.0}, "`sample_rate` must be a positive integer"),
        ({"crop_seconds": 0}, "crop_seconds"),
        ({"weights": [1, 1]}, "4 numbers"),
        ({"weights": [-1, 1, 1, 1]}, "at least 0"),
        ({"weights": [0, 0, 0, 0]}, "must not all be 0"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 0}, "batch_size"),
        ({"num_workers": 0}, "num_workers"),
        ({"mixup": 1.5, "one_hot": True}, "`mixup` must be a number"),
        ({"mixup": 0.5}, "set `one_hot=True`"),
    ],
)
def test_bad_arguments(clips, arguments, message):
    with pytest.raises(ValueError, match=message):
        labeled_dataset(clips, **arguments)


@pytest.fixture(scope="module")
def nine(tmp_path_factory):
    """Eight recordings of three classes and one file that is no audio."""
    folder = tmp_path_factory.mktemp("nine")
    generator = np.random.default_rng(1)
    for index in range(8):
        samples = generator.uniform(-0.5, 0.5, 1600 + 160 * index)
        soundfile.write(folder / f"{index}.wav", samples, 16000)
    (folder / "broken.wav").write_bytes(b"no audio")
    paths = [str(path) for path in sorted(folder.iterdir())]
    return LabeledClips(paths, [(index % 3,) for index in range(9)], ["a", "b", "c"])


def read(source, passes, **kwargs):
    """Return the batches of passes, as pairs of dense arrays."""
    dataset = labeled_dataset(
        source, batch_size=3, crop_seconds=0.1, one_hot=True, mixup=0.7, seed=1, **kwargs
    )
    return [(x.to_tensor().numpy(), y.numpy()) for _ in range(passes) for x, y in dataset]


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for found, wanted in zip(batches, expected):
        for one, other in zip(found, wanted):
            np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:Skipped 1 of")
@pytest.mark.parametrize("kwargs", [{"shuffle": True}, {"weights": [1, 2, 3, 1, 2, 3, 1, 2, 3]}])
def test_from_a_start_come_the_batches_of_uninterrupted_passes(nine, kwargs):
    log = ReadLog()
    first = read(nine, 1, log=log, **kwargs)
    unreadable = log.unreadable(0)
    whole = first + read(nine, 1, start=Start(1), **kwargs)
    assert unreadable
    assert any((labels % 1).any() for _, labels in whole)
    for batch in range(len(first) + 1):
        log = ReadLog()
        rest = read(nine, 2, start=Start(0, batch, unreadable), log=log, **kwargs)
        assert_same(rest, whole[batch:])
        assert log.unreadable(0) == unreadable


def test_mixup_mixes_as_often_as_asked_for_and_passes_differ(clips):
    arguments = {"one_hot": True, "mixup": 1.0, "seed": 1, "crop_seconds": 0.1}
    dataset, again = (labeled_dataset(clips, **arguments) for _ in range(2))
    first, second = (np.concatenate([labels for _, labels in dataset]) for _ in range(2))
    assert (first % 1).any() or (second % 1).any()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in again]), first)
    np.testing.assert_allclose(first.sum(axis=1), 1, rtol=1e-6)


def write(source, folder, **kwargs):
    arguments = {"clips_per_shard": 3, "num_workers": 1, "verbose": 0, **kwargs}
    return write_records(source, folder, **arguments)


@pytest.mark.parametrize("content", ["waveform", "encoded"])
def test_records_have_the_clips_and_labels_of_files(clips, tmp_path, content):
    write(clips, tmp_path / "records", content=content)

    def by_length(dataset):
        pairs = [
            (waveform.numpy(), label.numpy())
            for batch in dataset
            for waveform, label in zip(*batch)
        ]
        return sorted(pairs, key=lambda pair: len(pair[0]))

    for one_hot in (False, True):
        dataset = labeled_dataset(tmp_path / "records", one_hot=one_hot, batch_size=3)
        files = labeled_dataset(clips, one_hot=one_hot, batch_size=3)
        assert dataset.element_spec == files.element_spec
        assert dataset.cardinality() == 2
        assert_same(by_length(dataset), by_length(files))


def test_several_labels_of_records(clips, tmp_path):
    several = LabeledClips(clips.paths, [(0, 1), (), (1,), (0,)], clips.class_names)
    write(several, tmp_path / "records", clips_per_shard=4)
    ((_, labels),) = labeled_dataset(tmp_path / "records")
    np.testing.assert_array_equal(labels, several.label_matrix())


def test_records_go_on_from_a_start_and_log_their_files(nine, tmp_path):
    readable = nine.select(range(8))
    write(readable, tmp_path / "records")
    log = ReadLog()
    whole = read(tmp_path / "records", 2, shuffle=True, log=log)
    assert sorted(log.files(1, 0, 2)) == readable.paths
    for epoch, batch in [(0, 1), (1, 2), (0, 3)]:
        start = Start(epoch, batch)
        rest = read(tmp_path / "records", 2 - epoch, shuffle=True, start=start, log=log)
        assert_same(rest, whole[3 * epoch + batch :])
    assert sorted(log.files(1, 0, 2)) == readable.paths


def test_records_that_have_no_labeled_waveforms_are_refused(clips, tmp_path):
    write(clips, tmp_path / "log_mel", content="log_mel")
    with pytest.raises(ValueError, match="no waveforms can be made"):
        labeled_dataset(tmp_path / "log_mel")
    write(clips, tmp_path / "records")
    with pytest.raises(ValueError, match="sample_rate=16000 instead of 8000"):
        labeled_dataset(tmp_path / "records", sample_rate=8000)
    with pytest.raises(ValueError, match="`weights` are for LabeledClips"):
        labeled_dataset(tmp_path / "records", weights=[1, 1, 1, 1])
    write(clips.paths, tmp_path / "unlabeled")
    with pytest.raises(ValueError, match="records without labels"):
        labeled_dataset(tmp_path / "unlabeled")
    with pytest.raises(ValueError, match="must be LabeledClips, LabeledEvents or"):
        labeled_dataset(tmp_path)
