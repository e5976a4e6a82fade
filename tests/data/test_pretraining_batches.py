"""`pretraining_dataset`: batches of random views of audio clips."""

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_asit.data import Start, passes, pretraining_dataset
from keras_asit.models import ASiTAudioConverter

# Far below a view's spread of 0.3 to 1; backends differ by this much in almost silent frames.
TOLERANCE = 2e-3
# Of the 48 frames in a crop of 0.5 s.
CONVERTER = ASiTAudioConverter(num_frames=48, num_mels=32)


@pytest.fixture
def clips(tmp_path, write_noise):
    """A folder of clips that are shorter and longer than a crop of 0.5 s, and much longer."""
    for index, seconds in enumerate((0.2, 0.5, 0.6, 1.0, 1.0, 30.0)):
        write_noise(f"{index}.wav", seconds)
    return tmp_path


@pytest.fixture
def ramp(tmp_path):
    """A clip of 1 s whose sample at position i is i / 32768, so that it tells where it is."""
    path = tmp_path / "ramp.wav"
    soundfile.write(path, np.arange(16000, dtype="int16"), 16000)
    return path


def dataset_of(source, **kwargs):
    return pretraining_dataset(
        source, **{"batch_size": 2, "crop_seconds": 0.5, "converter": CONVERTER, **kwargs}
    )


def batches(dataset):
    return [{name: view.numpy() for name, view in batch.items()} for batch in dataset]


def cleans(dataset):
    return np.concatenate([batch["clean"] for batch in batches(dataset)])


def test_six_seconds_make_592_frames_and_two_make_192(write_noise):
    dataset = pretraining_dataset([write_noise("a.wav", 7)], batch_size=1, num_short_crops=4)
    assert dataset.element_spec == {
        "clean": tf.TensorSpec([1, 2, 592, 128], tf.float32),
        "short": tf.TensorSpec([1, 4, 192, 128], tf.float32),
    }
    ((batch),) = batches(dataset)
    assert batch["clean"].shape == (1, 2, 592, 128)
    assert batch["short"].shape == (1, 4, 192, 128)


def test_waveforms_can_be_had_instead_of_spectrograms(clips):
    dataset = dataset_of(clips, spectrograms=False, num_short_crops=3, short_crop_seconds=0.25)
    assert dataset.element_spec == {
        "clean": tf.TensorSpec([2, 2, 8000], tf.float32),
        "short": tf.TensorSpec([2, 3, 4000], tf.float32),
    }
    assert len(batches(dataset)) == 3


@pytest.mark.parametrize("sample_rate", [16000, 22050])
def test_views_are_the_converters_spectrograms_of_the_crops(clips, sample_rate):
    converter = ASiTAudioConverter(sample_rate, 48, 32, mean=-5.0, standard_deviation=3.0)
    arguments = {
        "converter": converter,
        "num_short_crops": 3,
        "short_crop_seconds": 0.21,
        "seed": 1,
    }
    spectrograms = batches(dataset_of(clips, **arguments))
    waveforms = batches(dataset_of(clips, spectrograms=False, **arguments))
    for name, num_frames in (("clean", 48), ("short", 16)):
        for views, crops in zip(spectrograms, waveforms):
            crops = crops[name].reshape(-1, crops[name].shape[-1])
            expected = keras.ops.convert_to_numpy(converter(crops, num_frames=num_frames))
            views = views[name].reshape(expected.shape)
            np.testing.assert_allclose(views, expected, atol=TOLERANCE)


def test_crops_are_slices_of_the_waveform(ramp):
    dataset = dataset_of(
        [ramp] * 8,
        spectrograms=False,
        roll_probability=0,
        num_short_crops=2,
        short_crop_seconds=0.25,
    )
    for batch in batches(dataset):
        for crop in [*batch["clean"].reshape(-1, 8000), *batch["short"].reshape(-1, 4000)]:
            np.testing.assert_array_equal(crop * 32768, crop[0] * 32768 + np.arange(len(crop)))


def test_crops_of_one_clip_start_whole_frames_apart(ramp):
    crops = cleans(dataset_of([ramp] * 16, spectrograms=False, roll_probability=0))
    starts = crops[:, :, 0] * 32768
    assert np.all(np.diff(starts, axis=1) % 160 == 0)
    assert len(np.unique(starts[:, 0] % 160)) > 8


def test_starts_are_uniform_over_the_clip(ramp):
    crops = cleans(dataset_of([ramp] * 400, spectrograms=False, roll_probability=0, seed=1))
    starts = crops[:, :, 0] * 32768
    assert 0 <= starts.min() < starts.max() <= 8000
    for view in (0, 1):
        shares = np.histogram(starts[:, view], bins=4, range=(0, 8000))[0] / 400
        np.testing.assert_allclose(shares, 0.25, atol=0.08)
    assert abs(np.corrcoef(starts.T)[0, 1]) < 0.15


def test_a_short_clip_is_padded_with_zeros_at_its_end(write_noise):
    path = write_noise("a.wav", 0.2)
    waveform, _ = soundfile.read(path, dtype="float32")
    crops = cleans(dataset_of([path] * 2, spectrograms=False, roll_probability=0))
    np.testing.assert_array_equal(crops, np.broadcast_to(np.pad(waveform, (0, 4800)), crops.shape))


def test_half_of_the_clips_are_rolled(write_noise):
    path = write_noise("a.wav", 0.2)
    waveform, _ = soundfile.read(path, dtype="float32")
    crops = cleans(dataset_of([path] * 200, spectrograms=False, seed=1))
    rolled = [not np.array_equal(clip[0][:3200], waveform) for clip in crops]
    assert 0.4 < np.mean(rolled) < 0.6
    for clip in crops:
        np.testing.assert_array_equal(np.sort(clip[0]), np.sort(np.pad(waveform, (0, 4800))))
        np.testing.assert_array_equal(clip[0], clip[1])


def test_each_clip_is_decoded_once_a_pass(clips, monkeypatch):
    decoded = []
    read_waveform = passes.read_waveform

    def count_and_read(path, *args):
        decoded.append(path)
        return read_waveform(path, *args)

    monkeypatch.setattr(passes, "read_waveform", count_and_read)
    batches(dataset_of(clips, num_short_crops=2, short_crop_seconds=0.25))
    assert len(decoded) == len(set(decoded)) == 6


def test_a_seed_repeats_every_pass_whatever_the_parallelism(clips):
    def two_passes(seed, num_workers=None):
        dataset = dataset_of(clips, spectrograms=False, seed=seed, num_workers=num_workers)
        return np.stack([cleans(dataset) for _ in range(2)])

    passes = two_passes(seed=1)
    np.testing.assert_array_equal(two_passes(seed=1, num_workers=1), passes)
    tf.random.set_seed(99)
    np.testing.assert_array_equal(two_passes(seed=1, num_workers=4), passes)
    assert np.abs(two_passes(seed=2) - passes).mean() > 0.01
    assert np.abs(two_passes(seed=None) - two_passes(seed=None)).mean() > 0.01


def test_passes_differ_in_their_crops_and_in_their_order(write_noise):
    paths = [write_noise(f"{index}.wav", 2) for index in range(4)]
    ordered = dataset_of(paths, spectrograms=False, shuffle=False, seed=1)
    assert not np.array_equal(cleans(ordered), cleans(ordered))
    silent = [write_noise(f"s{index}.wav", 0.1 * index) for index in range(1, 5)]
    shuffled = dataset_of(silent, spectrograms=False, roll_probability=0, seed=1)
    lengths = [np.count_nonzero(np.any(cleans(shuffled), axis=1), axis=1) for _ in range(4)]
    assert len({tuple(order) for order in lengths}) > 1


def test_what_can_be_read_does_not_change_the_crops_of_the_rest(clips, write_noise):
    arguments = {"shuffle": False, "seed": 1, "spectrograms": False, "drop_remainder": False}
    paths = sorted(clips.iterdir())
    everything = cleans(dataset_of(paths, **arguments))
    paths[2].write_bytes(b"no audio any more")
    with pytest.warns(UserWarning, match="Skipped 1 of 6"):
        rest = cleans(dataset_of(paths, **arguments))
    np.testing.assert_array_equal(rest, np.delete(everything, 2, axis=0))


def test_the_last_batch_is_left_out_or_smaller(clips):
    sizes = [len(batch["clean"]) for batch in dataset_of(clips, batch_size=4)]
    assert sizes == [4]
    dataset = dataset_of(clips, batch_size=4, drop_remainder=False)
    assert [len(batch["clean"]) for batch in dataset] == [4, 2]
    assert dataset.element_spec["clean"].shape == (None, 2, 48, 32)


def test_keras_learns_the_number_of_batches_because_files_may_be_unreadable(clips):
    assert dataset_of(clips).cardinality() == tf.data.UNKNOWN_CARDINALITY


def test_fewer_files_than_a_batch_are_an_error(bad_files):
    with pytest.raises(
        ValueError, match=r"4 audio files do not fill one batch; lower `batch_size`"
    ):
        dataset_of(list(bad_files), batch_size=5)


def test_fewer_readable_files_than_a_batch_are_an_error(write_noise, bad_files):
    dataset = dataset_of([write_noise("good.wav"), *bad_files], batch_size=2)
    message = "Of 5 audio files, 1 could be read; at least 2 must be"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        batches(dataset)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"converter": 16000}, "`converter` must be an ASiTAudioConverter. Received: int"),
        ({"crop_seconds": "6"}, "`crop_seconds` must be a number"),
        ({"crop_seconds": 0.1}, "`crop_seconds` must give at least 16 frames"),
        ({"num_short_crops": -1}, "`num_short_crops` must be an integer of at least 0"),
        ({"num_short_crops": 1}, "`short_crop_seconds` must be a number between 0 and 0.5"),
        ({"patch_frames": 0}, "`patch_frames` must be a positive integer"),
        ({"crop_seconds": 1.0}, "must make the 96 frames of a crop of 1.0 s.*num_frames=48"),
        ({"patch_frames": 20}, "must make the 40 frames of a crop of 0.5 s.*num_frames=48"),
        ({"host_index": 1}, "`host_index` must be an integer from 0 to 0"),
        ({"num_hosts": 0}, "`num_hosts` must be a positive integer"),
        ({"num_hosts": 3}, "`batch_size` is that of all hosts.*batch_size=2, num_hosts=3"),
        ({"roll_probability": 2}, "`roll_probability` must be a number between 0 and 1"),
        ({"seed": "one"}, "`seed` must be an integer of at least 0"),
        ({"num_workers": -1}, "`num_workers` must be a positive integer"),
    ],
)
def test_arguments_are_checked(clips, arguments, message):
    with pytest.raises(ValueError, match=message):
        dataset_of(clips, **arguments)


@pytest.mark.parametrize("arguments", [{"sample_rate": 16000.0}, {"num_mels": 0}])
def test_a_front_end_of_no_rate_or_no_mels_is_refused(clips, arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be .* integer"):
        dataset_of(clips, converter=ASiTAudioConverter(num_frames=48, **arguments))


def test_of_a_long_file_only_a_stretch_is_read(tmp_path, monkeypatch):
    ramp = np.linspace(-0.9, 0.9, 30 * 16000)
    soundfile.write(tmp_path / "long.wav", ramp, 16000)
    lengths = []
    read_waveform = passes.read_waveform

    def measure(*args):
        waveform = read_waveform(*args)
        lengths.append(len(waveform))
        return waveform

    monkeypatch.setattr(passes, "read_waveform", measure)
    arguments = {"batch_size": 1, "crop_seconds": 0.5, "max_seconds": 2.0, "spectrograms": False}
    dataset = pretraining_dataset(tmp_path, seed=3, roll_probability=0.0, **arguments)
    stretches = [next(iter(dataset))["clean"].numpy() for _ in range(8)]
    assert set(lengths) == {32_000}
    levels = [each.mean() for each in stretches]
    assert max(levels) - min(levels) > 0.5
    again = pretraining_dataset(tmp_path, seed=3, roll_probability=0.0, **arguments)
    np.testing.assert_array_equal(next(iter(again))["clean"], stretches[0])


def test_without_a_converter_frames_follow_from_the_crop(write_noise):
    dataset = pretraining_dataset([write_noise("a.wav")], batch_size=1, crop_seconds=0.3)
    assert dataset.element_spec["clean"].shape == (1, 2, 16, 128)


def test_hosts_share_each_batch_of_one_host(write_noise):
    paths = [write_noise(f"{index}.wav", 0.3) for index in range(11)]

    def passes(**hosts):
        dataset = dataset_of(paths, batch_size=4, seed=1, **hosts)
        return np.stack([batch["clean"] for _ in range(2) for batch in dataset])

    one = passes()
    assert one.shape[:2] == (4, 4)
    two = [passes(num_hosts=2, host_index=index) for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(two, axis=1), one)

    # And go on in the middle of a pass, with another number of them.
    middle = Start(epoch=1, batch=1)
    four = [passes(num_hosts=4, host_index=index, start=middle)[0] for index in range(4)]
    np.testing.assert_array_equal(np.concatenate(four), one[3])


def test_hosts_do_not_leave_out_files(write_noise, tmp_path):
    paths = [write_noise(f"{index}.wav", 0.3) for index in range(3)]
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    dataset = dataset_of(
        [*paths, tmp_path / "broken.wav"], batch_size=4, num_hosts=2, host_index=1, shuffle=False
    )
    with pytest.raises(tf.errors.OpError, match=r"broken.wav cannot be read.*check_audio.py"):
        next(iter(dataset))
