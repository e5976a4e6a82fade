"""The converter: cut and padded, then normalized, everywhere the same; and its statistics."""

import keras
import keras_hub
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from harness import assert_close, assert_config_round_trip, to_numpy

from keras_asit.data import audio_dataset
from keras_asit.layers import LogMelFilterbank
from keras_asit.models import ASiTAudioConverter, ASiTBackbone, audio_converter

MEAN, STANDARD_DEVIATION = -4.2677393, 4.5689974


def random_waveforms(*shape):
    return np.random.uniform(-1, 1, shape).astype("float32")


def test_long_audio_is_cut_and_normalized():
    waveforms = random_waveforms(2, 2000)
    converter = ASiTAudioConverter(num_frames=6)
    spectrograms = to_numpy(converter(waveforms))
    assert spectrograms.shape == (2, 6, 128)
    log_mels = to_numpy(LogMelFilterbank(16000)(waveforms))[:, :6]
    np.testing.assert_allclose(
        spectrograms, (log_mels - MEAN) / (2 * STANDARD_DEVIATION), atol=1e-4
    )


def test_short_audio_is_padded_with_zeros_before_it_is_normalized():
    waveforms = random_waveforms(2, 2000)
    spectrograms = to_numpy(ASiTAudioConverter(num_frames=16)(waveforms))
    assert spectrograms.shape == (2, 16, 128)
    np.testing.assert_allclose(
        spectrograms[:, :6], to_numpy(ASiTAudioConverter(num_frames=6)(waveforms)), atol=1e-5
    )
    np.testing.assert_allclose(spectrograms[:, 11:], -MEAN / (2 * STANDARD_DEVIATION), rtol=1e-5)


def test_audio_shorter_than_a_frame_is_padding_alone():
    converter = ASiTAudioConverter(num_frames=4)
    padding = -MEAN / (2 * STANDARD_DEVIATION)
    for shape in ((300,), (2, 300)):
        spectrograms = to_numpy(converter(random_waveforms(*shape)))
        assert spectrograms.shape == (*shape[:-1], 4, 128)
        np.testing.assert_allclose(spectrograms, padding, rtol=1e-5)
    dataset = tf.data.Dataset.from_tensors(random_waveforms(300)).map(converter)
    np.testing.assert_allclose(next(iter(dataset)).numpy(), padding, rtol=1e-5)


def test_one_waveform_equals_a_batch_of_one():
    waveform = random_waveforms(2000)
    converter = ASiTAudioConverter(num_frames=16)
    assert_close(converter(waveform), to_numpy(converter(waveform[None]))[0], atol=1e-4)


def test_other_statistics_normalize_differently():
    waveform = random_waveforms(2000)
    converter = ASiTAudioConverter(num_frames=11, mean=1.0, standard_deviation=0.5)
    assert_close(converter(waveform), to_numpy(LogMelFilterbank()(waveform)) - 1, atol=1e-4)


@pytest.mark.parametrize("num_frames", [6, 16])
def test_tf_data_equals_eager(num_frames):
    waveforms = random_waveforms(2, 2000)
    converter = ASiTAudioConverter(num_frames=num_frames)
    dataset = tf.data.Dataset.from_tensor_slices(waveforms).map(converter).batch(2)
    assert dataset.element_spec.shape.as_list() == [None, num_frames, 128]
    spectrograms = next(iter(dataset)).numpy()
    np.testing.assert_allclose(spectrograms, to_numpy(converter(waveforms)), atol=1e-3)


def test_tf_data_knows_the_shape_of_audio_of_unknown_length():
    waveforms = [random_waveforms(length) for length in (300, 2000, 4000)]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(waveforms), output_signature=tf.TensorSpec((None,), "float32")
    ).map(ASiTAudioConverter(num_frames=16))
    assert dataset.element_spec.shape.as_list() == [16, 128]
    assert [tuple(spectrogram.shape) for spectrogram in dataset] == [(16, 128)] * 3


def test_functional_model_computes_and_saves_the_same(tmp_path):
    waveforms = random_waveforms(2, 2000)
    converter = ASiTAudioConverter(num_frames=16)
    inputs = keras.Input((2000,))
    model = keras.Model(inputs, converter(inputs))
    assert model.output_shape == (None, 16, 128)
    expected = to_numpy(converter(waveforms))
    assert_close(model.predict(waveforms, verbose=0), expected, atol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(waveforms, verbose=0), expected, atol=1e-4)


def test_six_seconds_make_the_default_size():
    converter = ASiTAudioConverter(sample_rate=32000)
    assert converter.audio_shape() == (592, 128)
    assert converter.filterbank.num_frames(6 * 32000) == 598
    assert converter(keras.Input((6 * 32000,))).shape == (None, 592, 128)


def test_frames_of_a_duration_are_whole_and_a_multiple():
    converter = ASiTAudioConverter(sample_rate=32000)
    assert converter.frames_in(6.0) == 598
    assert converter.frames_in(6.0, multiple_of=16) == 592
    assert converter.frames_in(0.1, multiple_of=16) == converter.frames_in(0.01) == 0
    with pytest.raises(ValueError, match="`seconds` must be a number of at least 0"):
        converter.frames_in(-1.0)
    with pytest.raises(ValueError, match="`multiple_of` must be a positive integer"):
        converter.frames_in(6.0, multiple_of=0)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_log_mels_are_normalized_eagerly_and_in_tf_data_alike(dtype):
    log_mels = np.random.normal(-4, 4, size=(3, 5, 128)).astype(dtype)
    converter = ASiTAudioConverter()
    expected = (log_mels.astype("float32") - MEAN) / (2 * STANDARD_DEVIATION)
    assert_close(converter.normalize(log_mels), expected, atol=1e-6)
    batch = next(iter(tf.data.Dataset.from_tensors(log_mels).map(converter.normalize)))
    assert batch.dtype == tf.float32
    np.testing.assert_allclose(batch, expected, atol=1e-6)


def test_config_round_trip():
    assert_config_round_trip(
        ASiTAudioConverter(32000, num_frames=48, num_mels=32, mean=-5.0, standard_deviation=3.0)
    )


@pytest.mark.parametrize(
    "load", [ASiTAudioConverter.from_preset, keras_hub.layers.AudioConverter.from_preset]
)
def test_loads_from_the_preset_of_its_backbone(load, tmp_path):
    converter = ASiTAudioConverter(num_frames=48, num_mels=32, mean=-5.0)
    backbone = ASiTBackbone((48, 32), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    backbone.save_to_preset(str(tmp_path))
    converter.save_to_preset(str(tmp_path))
    loaded = load(str(tmp_path))
    assert isinstance(loaded, ASiTAudioConverter)
    assert loaded.get_config() == converter.get_config()


def test_a_list_of_clips_of_different_lengths_makes_a_batch():
    clips = [random_waveforms(2000), random_waveforms(900)]
    converter = ASiTAudioConverter(num_frames=6)
    spectrograms = to_numpy(converter(clips))
    assert spectrograms.shape == (2, 6, 128)
    for clip, spectrogram in zip(clips, spectrograms):
        np.testing.assert_allclose(to_numpy(converter(clip)), spectrogram, atol=1e-5)


@pytest.mark.parametrize(
    ("waveforms", "message"),
    [
        (np.full(2000, np.nan), "sample 0 of `waveform` is nan"),
        ([np.zeros(2000), np.full(900, np.inf)], "sample 0 of clip 1 is inf"),
        (np.zeros(0), "is empty"),
        ([], "at least one clip"),
        (np.full((2, 2000), 300.0), "clip 0 with a peak of 300"),
    ],
)
def test_what_is_no_sound_is_refused(waveforms, message):
    with pytest.raises(ValueError, match=message):
        ASiTAudioConverter(num_frames=6)(waveforms)


def test_channels_are_mixed_down():
    converter, waveforms = ASiTAudioConverter(num_frames=6), random_waveforms(2, 2000, 2)
    np.testing.assert_allclose(
        to_numpy(converter(waveforms)),
        to_numpy(converter(waveforms.mean(axis=-1))),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 0}, "`sample_rate` must be an integer of at least 100"),
        ({"num_frames": 0}, "`num_frames` must be a positive integer"),
        ({"num_mels": 12.5}, "`num_mels` must be a positive integer"),
        ({"mean": "zero"}, "`mean` must be a number"),
        ({"standard_deviation": 0}, "`standard_deviation` must be a number of at least"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ASiTAudioConverter(**arguments)


def test_bad_calls_are_refused():
    with pytest.raises(ValueError, match="`num_frames` must be a positive integer"):
        ASiTAudioConverter()(random_waveforms(2, 2000), num_frames=0)
    with pytest.raises(ValueError, match="divide 16-bit integers by 32768"):
        ASiTAudioConverter()(np.zeros((2, 2000), "int16"))


# --- adapt ---


@pytest.fixture
def waveforms():
    """Clips of noise of many lengths and levels; the last is shorter than a frame."""
    generator = np.random.default_rng(1)
    lengths = [400, 2000, 3333, 16000, 5000, 100]
    levels = [0.01, 1.0, 0.3, 0.001, 0.5, 1.0]
    return [
        (level * generator.uniform(-1, 1, length)).astype("float32")
        for length, level in zip(lengths, levels)
    ]


def adapted(dataset, **kwargs):
    converter = ASiTAudioConverter(num_frames=16, num_mels=32, **kwargs)
    converter.adapt(dataset)
    return converter.mean, converter.standard_deviation


def log_mels(waveforms):
    filterbank = ASiTAudioConverter(num_mels=32).filterbank
    frames = [
        next(iter(tf.data.Dataset.from_tensors(waveform).map(filterbank))) for waveform in waveforms
    ]
    return np.concatenate(frames).astype("float64")


def test_statistics_are_those_of_all_frames_without_padding(waveforms):
    expected = log_mels(waveforms)
    mean, standard_deviation = adapted(waveforms)
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(standard_deviation, expected.std(), rtol=1e-6)


def test_adapted_spectrograms_have_mean_zero_and_half_the_spread(waveforms):
    converter = ASiTAudioConverter(num_frames=98, num_mels=32)
    converter.adapt([waveforms[3]])
    spectrogram = keras.ops.convert_to_numpy(converter(waveforms[3]))
    np.testing.assert_allclose([spectrogram.mean(), spectrogram.std()], [0, 0.5], atol=1e-4)


def test_the_order_of_clips_makes_no_difference_to_the_last_bit(waveforms):
    expected = adapted(waveforms)
    generator = np.random.default_rng(2)
    for _ in range(5):
        shuffled = [waveforms[index] for index in generator.permutation(len(waveforms))]
        assert adapted(shuffled) == expected


def test_a_long_clip_is_converted_in_pieces_without_losing_a_frame(monkeypatch):
    waveform = np.random.default_rng(1).uniform(-1, 1, 40123).astype("float32")
    expected = log_mels([waveform])
    monkeypatch.setattr(audio_converter, "SECONDS_AT_ONCE", 1)
    mean, standard_deviation = adapted([waveform])
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(standard_deviation, expected.std(), rtol=1e-6)


def test_takes_arrays_datasets_batches_and_tuples_alike(waveforms, tmp_path):
    same_length = np.stack([waveforms[1], waveforms[2][:2000]])
    expected = adapted(list(same_length))
    singles = tf.data.Dataset.from_tensor_slices(same_length)
    ragged = tf.data.Dataset.from_tensors(tf.RaggedTensor.from_tensor(same_length))
    for dataset in (
        same_length,
        singles,
        singles.batch(2),
        singles.map(lambda x: (x, "a")),
        ragged,
    ):
        assert adapted(dataset) == expected
    for index, waveform in enumerate(same_length):
        soundfile.write(tmp_path / f"{index}.wav", waveform, 16000, subtype="FLOAT")
    assert adapted(audio_dataset(tmp_path)) == expected


def test_statistics_are_kept_by_the_config(waveforms):
    converter = ASiTAudioConverter(num_mels=32)
    converter.adapt(waveforms)
    loaded = ASiTAudioConverter.from_config(converter.get_config())
    assert (loaded.mean, loaded.standard_deviation) == adapted(waveforms)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ([], "at least one clip of 25 ms or longer"),
        ([np.zeros(100, "float32")], "at least one clip of 25 ms or longer"),
        ([np.zeros(2000, "float32")] * 3, "such as silence"),
        ([np.zeros(2000, "int16")], "divide 16-bit integers by 32768"),
        ([np.zeros((1, 2, 2000), "float32")], "mix channels down"),
        ([np.full(2000, np.nan, "float32")], "must be finite.*clip 0 of `dataset`"),
    ],
)
def test_what_has_no_statistics_is_refused(dataset, message):
    with pytest.raises(ValueError, match=message):
        adapted(dataset)
