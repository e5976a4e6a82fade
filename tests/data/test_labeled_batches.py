"""Batches of labeled clips."""

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_asit.data import (
    LabeledClips,
    LabeledEvents,
    ReadLog,
    Start,
    balanced_weights,
    labeled_dataset,
    write_records,
)
from keras_asit.data.labeled_batches import mix_clips


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


# --- Mixup ---

CLIPS = np.eye(4, 8, dtype="float32")


def mix(number, **kwargs):
    """Return a batch of four clips, a class each, mixed with the seed of a number."""
    ragged = tf.RaggedTensor.from_tensor(CLIPS)
    clips, labels = mix_clips(ragged, tf.eye(4), tf.constant([number, 1]), **kwargs)
    return clips.to_tensor(), labels


def test_labels_are_mixed_in_the_shares_of_the_clips():
    # Of one batch, each clip may happen to be its own partner.
    batches = [mix(number) for number in range(10)]
    x, y = (np.concatenate(values) for values in zip(*batches))
    np.testing.assert_allclose(x[:, :4], y, atol=1e-6)
    np.testing.assert_allclose(np.sum(y, axis=1), 1, atol=1e-6)
    assert np.min(np.max(y, axis=1)) < 1


def test_clips_are_mixed_as_often_as_asked_for():
    mixed = [np.max(mix(number, probability=0.3)[1], axis=1) < 1 for number in range(250)]
    # A clip may be its own partner, once in four.
    assert abs(np.mean(mixed) - 0.3 * 0.75) < 0.06


def test_shares_have_the_beta_distribution():
    one = tf.RaggedTensor.from_tensor(tf.ones([2000, 1]))
    _, labels = mix_clips(one, tf.eye(2000), tf.constant([1, 2]))
    shares = np.diag(labels)
    assert abs(np.mean(shares) - 0.5) < 0.01
    # The variance of a beta distribution of a and a is 1 / (4 (2 a + 1)).
    assert abs(np.std(shares) - 84**-0.5) < 0.01


def test_a_probability_of_zero_mixes_nothing():
    x, y = mix(1, probability=0.0)
    np.testing.assert_array_equal(x, CLIPS)
    np.testing.assert_array_equal(y, np.eye(4))


def test_mixed_clips_keep_their_lengths():
    ragged = tf.ragged.constant([[1.0, 1.0], [2.0, 2.0, 2.0, 2.0]], ragged_rank=1)
    # The first seed with which the two are not their own partners.
    batches = [mix_clips(ragged, tf.eye(2), [number, 1]) for number in range(8)]
    x, y = next(batch for batch in batches if batch[1][1, 0] > 0)
    np.testing.assert_array_equal(x.row_lengths(), [2, 4])
    long, share = x[1].numpy(), y[1, 1].numpy()
    np.testing.assert_allclose(long[:2], 2 * share + (1 - share), rtol=1e-5)
    np.testing.assert_allclose(long[2:], 2 * share, rtol=1e-5)


def test_all_of_mixup_follows_from_the_seed():
    for first, again in zip(mix(3), mix(3)):
        np.testing.assert_array_equal(first, again)
    assert not np.array_equal(mix(3)[1], mix(4)[1])


# --- Events ---


@pytest.fixture
def recordings(tmp_path):
    """Recordings of 1, 2 and 3 s in which there is noise while there is an event, else silence."""
    generator = np.random.default_rng(1)
    events = [((0.2, 0.5, 0),), ((0.3, 0.6, 1), (1.2, 1.9, 0)), ((0.7, 1.3, 1),)]
    seconds, paths = [1.0, 2.0, 3.0], []
    for index, (several, whole) in enumerate(zip(events, seconds)):
        waveform = np.zeros(round(whole * 16000))
        for onset, offset, _ in several:
            inside = slice(round(onset * 16000), round(offset * 16000))
            waveform[inside] = generator.uniform(-0.5, 0.5, len(waveform[inside]))
        paths.append(str(tmp_path / f"{index}.wav"))
        soundfile.write(paths[-1], waveform, 16000)
    return LabeledEvents(paths, events, ["cat", "dog"], seconds)


WINDOWS = {"crop_seconds": 1.0, "num_steps": 10}


def sounding(waveforms):
    """Return where there is sound in most of each tenth of a second."""
    steps = waveforms.to_tensor().numpy().reshape(-1, 10, 1600)
    return (np.abs(steps) > 0).mean(axis=2) > 0.5


def test_windows_of_recordings_have_the_labels_of_their_steps(recordings):
    ((waveforms, labels),) = labeled_dataset(recordings, **WINDOWS)
    assert waveforms.row_lengths().numpy().tolist() == [16000] * 6
    assert labels.shape == (6, 10, 2) and labels.dtype == "float32"
    np.testing.assert_array_equal(sounding(waveforms), labels.numpy().any(axis=2))
    assert labels.numpy().sum(axis=(0, 1)).tolist() == [3 + 7, 3 + 6]


@pytest.mark.parametrize("argument", [{"max_shift": 1.0}, {"num_steps": 10}])
def test_clips_without_times_have_neither_shifts_nor_steps(argument):
    clips = LabeledClips(["a.wav"], [(0,)], ["cat"])
    with pytest.raises(ValueError, match="are for LabeledEvents"):
        labeled_dataset(clips, **argument)


@pytest.mark.parametrize("max_shift", [0.3, 1.0])
def test_labels_are_shifted_with_the_sound(recordings, max_shift):
    ((_, still),) = labeled_dataset(recordings, **WINDOWS)
    shifts = set()
    dataset = labeled_dataset(recordings, max_shift=max_shift, seed=1, **WINDOWS)
    for waveforms, labels in dataset.repeat(30):
        np.testing.assert_array_equal(sounding(waveforms), labels.numpy().any(axis=2))
        shifts |= {
            shift
            for shift in range(-5, 5)
            if np.array_equal(np.roll(still[0], shift, axis=0), labels[0])
        }
    assert len(shifts) > 3
    assert max_shift > 0.5 or shifts <= set(range(-3, 4))


def test_labels_of_steps_are_mixed_with_the_sound(recordings):
    ((waveforms, labels),) = labeled_dataset(recordings, **WINDOWS)
    ((mixed, mixed_labels),) = labeled_dataset(recordings, mixup=1.0, seed=1, **WINDOWS)
    waveforms, mixed = (each.to_tensor().numpy() for each in (waveforms, mixed))
    labels, mixed_labels = labels.numpy(), mixed_labels.numpy()
    for index, (clip, label) in enumerate(zip(mixed, mixed_labels)):
        # The share of a clip is what is left of its own labels.
        own = label[labels[index] > 0].min() if labels[index].any() else 1 - label.max()
        mixtures = [own * values[index] + (1 - own) * values for values in (waveforms, labels)]
        assert any(
            np.allclose(sound, clip, atol=1e-5) and np.allclose(truth, label, atol=1e-5)
            for sound, truth in zip(*mixtures)
        )
    assert ((mixed_labels > 0) & (mixed_labels < 1)).any()


def test_passes_over_windows_go_on_where_they_were(recordings):
    def read(start=None, log=None):
        options = {"mixup": 0.5, "max_shift": 1.0, "shuffle": True, "seed": 1, "batch_size": 2}
        return labeled_dataset(recordings, start=start, log=log, **options, **WINDOWS)

    whole = [batch for epoch in range(2) for batch in read(Start(epoch))]
    log = ReadLog()
    for (waveforms, labels), (expected, expected_labels) in zip(
        read(Start(epoch=1, batch=1), log), whole[4:], strict=True
    ):
        np.testing.assert_array_equal(waveforms.to_tensor(), expected.to_tensor())
        np.testing.assert_array_equal(labels, expected_labels)
    assert set(log.files(1, 0, 2)) == set(recordings.paths)


def test_of_a_damaged_file_no_window_has_the_sound_of_another(tmp_path):
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 3 * 16000)
    soundfile.write(path, noise, 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 5])
    damaged = LabeledEvents([str(path)], [((2.0, 3.0, 0),)], ["cat"], [3.0])
    with pytest.warns(UserWarning, match="Skipped 1 of 1 audio files"):
        ((waveforms, labels),) = labeled_dataset(damaged, **WINDOWS)
    np.testing.assert_allclose(waveforms[0], noise[:16000], atol=1e-4)
    assert labels.shape == (1, 10, 1) and not labels.numpy().any()


def test_events_need_windows(recordings):
    with pytest.raises(ValueError, match="`crop_seconds` must be given"):
        labeled_dataset(recordings)
    with pytest.raises(ValueError, match="`num_steps`"):
        labeled_dataset(recordings, crop_seconds=1.0, num_steps=0)
    with pytest.raises(ValueError, match="`max_shift`"):
        labeled_dataset(recordings, max_shift=-1, **WINDOWS)
    with pytest.raises(ValueError, match="`weights` are for LabeledClips"):
        labeled_dataset(recordings, weights=[1, 1, 1], **WINDOWS)
