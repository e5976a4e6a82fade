"""`decoder="tensorflow_io"`: files decoded inside the graph, to the samples of soundfile."""

import re
import sys
import types
import warnings

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow_io_operators import needs_operators

from keras_asit.data import ReadLog, audio_dataset, graph_decoding, pretraining_dataset
from keras_asit.models import ASiTAudioConverter

# Of full scale; only the lossy formats differ at all.
TOLERANCE = 2e-6
WAVS = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")
FILES = [
    *(("a.wav", {"subtype": subtype}) for subtype in WAVS),
    *(("a.wav", {"subtype": subtype, "format": "WAVEX"}) for subtype in WAVS),
    *(("a.flac", {"subtype": subtype}) for subtype in ("PCM_S8", "PCM_16", "PCM_24")),
    ("a.ogg", {}),
    ("a.mp3", {}),
]
BOTH = ("soundfile", "tensorflow_io")


def waveforms(source, decoder, **kwargs):
    return [waveform.numpy() for waveform, _ in audio_dataset(source, decoder=decoder, **kwargs)]


def names(dataset):
    return [path.numpy().decode().rsplit("/", 1)[-1] for _, path in dataset]


@needs_operators
@pytest.mark.parametrize("name, form", FILES)
def test_samples_are_those_of_soundfile(write_noise, name, form):
    # Odd numbers of bytes among them: wav files are padded then.
    numbers = (1, 2) if name == "a.mp3" else (1, 2, 3)
    paths = [write_noise(f"{n}{name}", 4001 / 16000, channels=n, **form) for n in numbers]
    for path, waveform in zip(paths, waveforms(paths, "tensorflow_io"), strict=True):
        samples, _ = soundfile.read(path, always_2d=True)
        np.testing.assert_allclose(waveform, samples.mean(axis=1), rtol=0, atol=TOLERANCE)


@needs_operators
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_other_sample_rates_are_resampled_to_the_same_waveform(tmp_path, write_noise, name):
    write_noise(name, 0.5, sample_rate=44100, channels=2)
    (expected,), (waveform,) = (waveforms(tmp_path, decoder) for decoder in BOTH)
    np.testing.assert_allclose(waveform, expected, rtol=0, atol=TOLERANCE)


@needs_operators
def test_wav_files_may_have_other_chunks_and_end_early(tmp_path, write_noise):
    path = write_noise("a.wav", 0.5)
    content = path.read_bytes()
    other = b"note" + (5).to_bytes(4, "little") + b"hello\0"
    path.write_bytes(content[:12] + other + content[12:36] + other + content[36:9000])
    (expected,), (waveform,) = (waveforms(tmp_path, decoder) for decoder in BOTH)
    np.testing.assert_array_equal(waveform, expected)
    assert len(waveform) > 4000


@needs_operators
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("sample_rate", [16000, 22050])
def test_of_a_long_file_the_same_stretch_is_kept(tmp_path, write_noise, name, sample_rate):
    write_noise(name, 9, sample_rate)
    # Views that are the stretch, as it is.
    arguments = {"batch_size": 1, "crop_seconds": 1.0, "max_seconds": 1.0, "roll_probability": 0}
    arguments |= {"spectrograms": False, "seed": 1}
    datasets = [pretraining_dataset(tmp_path, decoder=decoder, **arguments) for decoder in BOTH]
    # Where soundfile goes on after seeking in an mp3 file, its first samples may be wrong.
    first = sample_rate // 50 if name == "a.mp3" else 0
    stretches = []
    for _ in range(3):
        expected, views = (next(iter(dataset))["clean"][0, 0] for dataset in datasets)
        np.testing.assert_allclose(views[first:], expected[first:], rtol=0, atol=TOLERANCE)
        stretches.append(views)
    assert not np.allclose(stretches[0], stretches[1])


@needs_operators
def test_batches_are_the_same_with_both_decoders(tmp_path, write_noise, bad_files):
    for index in range(3):
        for suffix, rate in (("wav", 16000), ("flac", 44100), ("ogg", 16000), ("mp3", 22050)):
            write_noise(f"{index}.{suffix}", 0.3 + 0.4 * index, rate, channels=1 + index % 2)
    arguments = {
        "batch_size": 3,
        "crop_seconds": 0.5,
        "num_short_crops": 1,
        "short_crop_seconds": 0.3,
        "converter": ASiTAudioConverter(num_frames=48, num_mels=32),
        "seed": 3,
    }
    datasets = [pretraining_dataset(tmp_path, decoder=decoder, **arguments) for decoder in BOTH]
    assert datasets[0].element_spec == datasets[1].element_spec
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            passes = [list(dataset) for dataset in datasets]
        assert len(passes[0]) == len(passes[1]) == 4
        for expected, batch in zip(*passes):
            for name, views in expected.items():
                np.testing.assert_allclose(batch[name], views, rtol=0, atol=2e-3)


@needs_operators
def test_unreadable_files_are_skipped_counted_and_named_as_with_soundfile(write_noise, bad_files):
    sources = [write_noise("good.wav"), *bad_files, write_noise("fine.wav")]
    log = ReadLog()
    messages = []
    for decoder in BOTH:
        with pytest.warns(UserWarning) as caught:
            assert names(audio_dataset(sources, decoder=decoder)) == ["good.wav", "fine.wav"]
        messages.append([str(warning.message) for warning in caught])
    assert messages[0] == messages[1]
    assert messages[0][0].startswith("Skipped 4 of 6 audio files: ")
    dataset = pretraining_dataset(
        sources, batch_size=2, crop_seconds=0.5, shuffle=False, log=log, decoder="tensorflow_io"
    )
    with pytest.warns(UserWarning, match="Skipped 4 of 6"):
        list(dataset)
    assert log.unreadable(0) == (1, 2, 3, 4)


@needs_operators
@pytest.mark.parametrize(
    "name, form, reason",
    [
        ("a.aiff", {}, "is AIFF with PCM_16, which tensorflow-io does not decode"),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}, "is OGG with OPUS, which tensorflow-io"),
        ("a.wav", {"subtype": "ULAW"}, "is WAV with ULAW, which tensorflow-io does not decode"),
        ("a.wav", {"subtype": "DOUBLE"}, "is WAV with DOUBLE, which tensorflow-io does not"),
    ],
)
def test_what_the_operators_do_not_know_is_skipped_with_the_reason(write_noise, name, form, reason):
    sources = [write_noise(name, **form), write_noise("good.flac")]
    with pytest.warns(UserWarning, match=rf"Skipped 1 of 2 .*{re.escape(name)} \({reason}"):
        assert names(audio_dataset(sources, decoder="tensorflow_io")) == ["good.flac"]


@needs_operators
def test_files_that_the_operator_refuses_are_skipped_with_its_reason(write_noise, monkeypatch):
    monkeypatch.setitem(graph_decoding.OPERATORS, ("FLAC", "PCM_16"), ("decode_flac", "uint8"))
    sources = [write_noise("a.flac"), write_noise("good.wav")]
    message = r"a\.flac \(tensorflow-io does not decode it: dtype mismatch: int16 vs. uint8\)"
    with pytest.warns(UserWarning, match=message):
        assert names(audio_dataset(sources, decoder="tensorflow_io")) == ["good.wav"]


@needs_operators
def test_files_that_decode_to_other_samples_are_skipped(write_noise, monkeypatch):
    def read_louder(file):
        return 1.001 * read_samples(file)

    sources = [write_noise("a.flac"), write_noise("good.wav")]
    read_samples = graph_decoding.read_samples
    soundfile.write(sources[1], np.zeros(1000), 16000)
    monkeypatch.setattr(graph_decoding, "read_samples", read_louder)
    message = r"a\.flac \(tensorflow-io decodes it to other samples than soundfile\)"
    with pytest.warns(UserWarning, match=message):
        assert names(audio_dataset(sources, decoder="tensorflow_io")) == ["good.wav"]


@needs_operators
def test_files_may_change_or_go_away_between_passes(tmp_path, write_noise):
    paths = [write_noise("a.flac"), write_noise("b.flac"), write_noise("c.wav")]
    dataset = audio_dataset(paths, decoder="tensorflow_io")
    assert names(dataset) == ["a.flac", "b.flac", "c.wav"]
    # The operator would wait without end for what is missing here.
    paths[0].write_bytes(paths[0].read_bytes()[:10000])
    paths[1].unlink()
    with pytest.warns(UserWarning, match=r"Skipped 2 of 3 .*a\.flac .*b\.flac"):
        assert names(dataset) == ["c.wav"]


@needs_operators
def test_a_file_is_tried_both_ways_only_before_its_first_use(write_noise, monkeypatch):
    opened = []
    open_audio = graph_decoding.open_audio

    def note_and_open(path, **kwargs):
        opened.append(path)
        return open_audio(path, **kwargs)

    monkeypatch.setattr(graph_decoding, "open_audio", note_and_open)
    dataset = audio_dataset([write_noise("a.ogg"), write_noise("b.mp3")], decoder="tensorflow_io")
    for _ in range(3):
        names(dataset)
    assert len(opened) == 2


@needs_operators
@pytest.mark.parametrize("number", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_files_give_the_samples_of_soundfile_or_are_skipped(damaged_files, number):
    paths = damaged_files(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, found = (
            {path.numpy(): waveform.numpy() for waveform, path in audio_dataset(paths, **kwargs)}
            for kwargs in ({"decoder": "soundfile"}, {"decoder": "tensorflow_io"})
        )
    assert found.keys() <= expected.keys()
    assert len(found) > number // 5
    for path, waveform in found.items():
        np.testing.assert_allclose(waveform, expected[path], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("dataset", [audio_dataset, pretraining_dataset])
def test_without_tensorflow_io_the_error_says_what_to_install(write_noise, monkeypatch, dataset):
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(ImportError) as caught:
        dataset([write_noise("a.wav")] * 32, decoder="tensorflow_io")
    message = str(caught.value)
    assert f"TensorFlow {tf.__version__} and no tensorflow-io" in message
    assert "beside TensorFlow 2.17" in message
    assert "pip install 'keras-asit[tfio]'" in message


def test_operators_that_do_not_load_are_an_error_that_explains_itself(write_noise, monkeypatch):
    def encode_wav(*_):
        raise NotImplementedError("unable to open file: libtensorflow_io.so")

    audio = types.SimpleNamespace(encode_wav=encode_wav)
    monkeypatch.setitem(sys.modules, "tensorflow_io", types.SimpleNamespace(audio=audio))
    with pytest.raises(ImportError) as caught:
        audio_dataset([write_noise("a.wav")], decoder="tensorflow_io")
    message = str(caught.value)
    assert f"TensorFlow {tf.__version__} and a tensorflow-io whose operators do not load" in message
    assert "beside TensorFlow 2.17" in message
    assert "pip install 'keras-asit[tfio]'" in message
    assert isinstance(caught.value.__cause__, NotImplementedError)


@pytest.mark.parametrize("dataset", [audio_dataset, pretraining_dataset])
def test_there_is_no_other_decoder(write_noise, dataset):
    message = "`decoder` must be one of 'soundfile', 'tensorflow_io'. Received: decoder='ffmpeg'"
    with pytest.raises(ValueError, match=message):
        dataset([write_noise("a.wav")] * 32, decoder="ffmpeg")
