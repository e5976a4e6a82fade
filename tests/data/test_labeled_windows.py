"""Batches of windows of recordings, with the labels of their steps."""

import numpy as np
import pytest
import soundfile

from keras_asit.data import LabeledClips, LabeledEvents, ReadLog, Start, labeled_dataset


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
