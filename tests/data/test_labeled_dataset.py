"""Batches of labelled clips."""

import numpy as np
import pytest
import soundfile

from keras_asit.data import LabeledClips, balanced_weights, labeled_dataset


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
        ({"crop_seconds": 0}, "crop_seconds"),
        ({"weights": [1, 1]}, "4 numbers"),
        ({"weights": [-1, 1, 1, 1]}, "at least 0"),
        ({"weights": [0, 0, 0, 0]}, "must not all be 0"),
        ({"seed": -1}, "seed"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_arguments(clips, arguments, message):
    with pytest.raises(ValueError, match=message):
        labeled_dataset(clips, **arguments)
