"""What the classifier takes: inputs of every kind, one result; bad ones are named."""

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from harness import assert_close
from keras import ops
from small_classifier import LABELS, NAMES, build, predict, tones

from keras_asit.models import (
    ASiTAudioClassifier,
)


def test_lists_arrays_datasets_and_spectrograms_give_the_same():
    classifier = build()
    clips = tones()
    expected = predict(classifier, clips, batch_size=4)
    assert expected.shape == (6, 3)
    for index, clip in enumerate(clips):
        np.testing.assert_allclose(predict(classifier, clip[None])[0], expected[index], atol=1e-5)
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(clips), [len(clip) for clip in clips])
    dataset = tf.data.Dataset.from_tensor_slices(ragged).batch(4)
    np.testing.assert_allclose(predict(classifier, dataset), expected, atol=1e-5)
    spectrograms = ops.convert_to_numpy(classifier.preprocessor(clips))
    np.testing.assert_allclose(
        ops.convert_to_numpy(classifier(spectrograms)), expected, rtol=0, atol=1e-5
    )
    classifier.preprocessor = None
    np.testing.assert_allclose(predict(classifier, spectrograms), expected, rtol=0, atol=1e-5)


def write_folder(folder, channels=1):
    """Write clips of three classes, of 16 bits, as `audio_dataset_from_directory` reads them."""
    for index, clip in enumerate(tones()):
        path = folder / NAMES[index % 3] / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([clip, *[0 * clip] * (channels - 1)], axis=1), 16000)
    return folder


@pytest.mark.parametrize(
    ("label_mode", "form"),
    [
        ("int", {"output_sequence_length": 6000}),
        ("categorical", {}),
        ("int", {"ragged": True}),
    ],
)
def test_batches_of_an_audio_dataset_from_a_directory(tmp_path, label_mode, form):
    classifier = build(class_names=NAMES)
    dataset = keras.utils.audio_dataset_from_directory(
        write_folder(tmp_path), labels="inferred", label_mode=label_mode, batch_size=2,
        class_names=NAMES, shuffle=False, verbose=False, **form
    )  # fmt: skip
    predictions = predict(classifier, dataset)
    paths = [path for name in NAMES for path in sorted((tmp_path / name).iterdir())]
    clips = [soundfile.read(path, dtype="float32")[0] for path in paths]
    if form.get("ragged"):
        assert_close(predictions, predict(classifier, clips), atol=1e-4)
    logs = classifier.evaluate(dataset, verbose=0, return_dict=True)
    right = np.mean(predictions.argmax(axis=1) == [0, 0, 1, 1, 2, 2])
    assert logs["accuracy"] == pytest.approx(right)
    classifier.fit(dataset, verbose=0)


def test_channels_of_a_batch_are_mixed_down(tmp_path):
    classifier = build()
    clips = np.stack([clip[:3000] for clip in tones()])
    expected = predict(classifier, clips / 2)
    stereo = np.stack([clips, 0 * clips], axis=2)
    assert_close(predict(classifier, stereo), expected, atol=1e-4)
    assert_close(predict(classifier, (clips / 2)[..., None]), expected, atol=1e-4)
    dataset = tf.data.Dataset.from_tensor_slices(stereo).batch(4)
    assert_close(predict(classifier, dataset), expected, atol=1e-4)
    wrong = tf.data.Dataset.from_tensor_slices(np.swapaxes(stereo, 1, 2)).batch(4)
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match=r"Channels .* come last"
    ):
        predict(classifier, wrong)


class Batches(keras.utils.PyDataset):
    """Batches of clips, of one length and of several, with labels: lists, arrays, or both."""

    def __init__(self, clips, labels, are_arrays=False):
        super().__init__()
        self.clips, self.labels, self.are_arrays, self.passes = clips, labels, are_arrays, 0

    def __len__(self):
        return len(self.clips) // 2

    def __getitem__(self, index):
        part = slice(2 * index, 2 * index + 2)
        clips = self.clips[part]
        is_array = self.are_arrays and len({len(clip) for clip in clips}) == 1
        return np.stack(clips) if is_array else clips, self.labels[part]

    def on_epoch_end(self):
        self.passes += 1


@pytest.mark.parametrize("kind", ["lists", "arrays", "both"])
def test_py_datasets_and_generators_give_what_arrays_do(kind):
    clips = [clip[:3000] for clip in tones()]
    if kind != "arrays":
        clips[2:] = tones()[2:]
    classifier = build(class_names=NAMES)
    batches = Batches(clips, [NAMES[label] for label in LABELS], kind != "lists")
    expected = predict(classifier, clips)
    assert_close(predict(classifier, batches), expected, atol=1e-4)
    assert_close(predict(classifier, (b for b in batches)), expected, atol=1e-4)
    logs = classifier.evaluate(clips, LABELS, verbose=0)
    assert classifier.evaluate(batches, verbose=0) == pytest.approx(logs, rel=1e-4)
    batches.passes = 0
    history = classifier.fit(batches, epochs=2, validation_data=batches, verbose=0).history
    assert batches.passes == 4
    assert len(history["val_loss"]) == 2
    with pytest.raises(ValueError, match="brings its own `y`"):
        classifier.fit(batches, LABELS)
    with pytest.raises(ValueError, match="'horse' for clip 0"):
        classifier.fit(Batches(clips, ["horse"] * 6))
    with pytest.raises(ValueError, match="no batches, or no more"):
        classifier.predict(batch for batch in ())
    with pytest.raises(ValueError, match="has no batches"):
        classifier.predict(Batches([], []))


def test_a_single_waveform_is_one_row():
    classifier = build()
    (clip,) = tones([3000])
    assert_close(predict(classifier, clip), predict(classifier, clip[None]), atol=1e-5)
    assert predict(classifier, ops.convert_to_tensor(clip)).shape == (1, 3)


@pytest.mark.parametrize("clips", [np.zeros((2, 3000)), np.zeros(3000), [np.zeros(3000)] * 2])
def test_a_call_with_waveforms_says_what_takes_them(clips):
    with pytest.raises(ValueError, match="For waveforms use `predict`, or call the `preprocessor`"):
        build()(clips)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([np.zeros(4000), np.zeros(0)], "clip 1 is empty"),
        (np.zeros((2, 4000), "int16"), "divide 16-bit integers by 32768"),
        (np.full((2, 4000), 300.0), "with a peak of 300"),
        ([np.zeros(4000), np.full(4000, np.nan)], "sample 0 of clip 1 is nan"),
        (np.zeros((2, 2, 4000)), r"\(batch, samples, channels\).*shape=\(2, 2, 4000\)"),
        (np.zeros(()), r"must have shape \(batch, samples\)"),
        ([np.zeros((4000, 2))], "mix channels down"),
        (np.zeros((4000, 2)), r"is one waveform: mix its channels down.*shape=\(4000, 2\)"),
        ([], "at least one clip"),
    ],
)
def test_bad_waveforms_are_named(clips, message):
    with pytest.raises(ValueError, match=message):
        build().predict(clips)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3, 0, 0, 0], "Received: 3 for clip 2"),
        ([0, -1, 0, 0, 0, 0], "Received: -1 for clip 1"),
        (["cat", "cow", "horse", "dog", "dog", "dog"], "'horse' for clip 2"),
        ([0, 1, 2], "`y` and `sample_weight` must be of 6 clips"),
        (np.full((6, 3), 2.0), "from 0 to 1. Received: 2.0 for clip 0"),
        (np.zeros((6, 4)), r"Received: shape=\(6, 4\)"),
    ],
)
def test_bad_labels_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        build(class_names=NAMES).fit(tones(), labels)


@pytest.mark.slow
def test_bad_data_of_a_dataset_stops_it():
    clips = np.zeros((2, 4000), "float32")
    for x, y, message in (
        (clips * np.nan, [0, 1], "must be finite"),
        (clips, [0, 7], "integers from 0 to 2. Received: 7 for clip 1"),
    ):
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            build().fit(dataset, verbose=0)
    with pytest.raises(ValueError, match="brings its own `y`"):
        build().fit(dataset, [0, 1])


def test_what_is_neither_clips_nor_batches_is_refused():
    classifier = build()
    spectrograms = ASiTAudioClassifier(classifier.backbone, 3)
    unbatched = tf.data.Dataset.from_tensor_slices(np.zeros((4, 6000), "float32"))
    with pytest.raises(ValueError, match="must be an array or a list of clips"):
        classifier.predict(iter([1]))
    with pytest.raises(ValueError, match="must be of batches of known rank"):
        classifier.predict(unbatched)
    with pytest.raises(ValueError, match="must be of batches of known rank"):
        spectrograms.predict(unbatched)
    with pytest.raises(ValueError, match="shares of several classes, but the loss takes class ind"):
        classifier.fit(tones(), np.full((6, 3), 0.5))
    classifier.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="the loss takes shares of classes"):
        classifier.fit(tones(), LABELS)
