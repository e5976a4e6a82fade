"""Tables of the most probable classes of recordings."""

import keras
import numpy as np
import pytest

from keras_asit.data import decode_audio
from keras_asit.evaluation import label_recordings, predict_recordings
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)

NAMES = ["cat", "dog, barking", "cow"]
# What fills 48 frames.
SECONDS = 0.495


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone((48, 16), num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=48, num_mels=16))
    return ASiTAudioClassifier(backbone, 3, preprocessor, class_names=NAMES, multi_label=True)


@pytest.fixture
def recordings(write_noise):
    return [str(write_noise("a.wav", 0.3)), str(write_noise("b.wav", 2.0, 44100))]


def probabilities_of(table, row):
    pairs = [(table[f"label_{rank}"][row], table[f"probability_{rank}"][row]) for rank in (1, 2, 3)]
    return [dict(pairs)[name] for name in NAMES]


def test_a_recording_is_the_mean_of_its_windows(classifier, recordings):
    table = label_recordings(classifier, recordings, overlap=0.5)
    expected, _ = predict_recordings(classifier, recordings, overlap=0.5)
    assert list(table)[:5] == ["path", "onset", "offset", "label_1", "probability_1"]
    assert table["path"] == recordings
    assert table["onset"] == [0, 0] and table["offset"] == [0.3, 2.0]
    for row, values in enumerate(expected):
        np.testing.assert_allclose(probabilities_of(table, row), values, atol=2e-6)
        assert table["label_1"][row] == NAMES[values.argmax()]


def test_probabilities_of_low_precision_are_averaged_in_full(classifier, write_noise):
    path = str(write_noise("long.wav", 60.0))
    low = ASiTAudioClassifier(
        classifier.backbone,
        3,
        classifier.preprocessor,
        class_names=NAMES,
        activation="sigmoid",
        head_dtype="bfloat16",
    )
    expected, _ = predict_recordings(low, [path])
    table = label_recordings(low, [path])
    np.testing.assert_allclose(probabilities_of(table, 0), expected[0], atol=2e-6)


def test_a_row_may_be_a_window_or_the_maximum_of_all(classifier, recordings):
    options = {"window_seconds": 0.4, "overlap": 0.5}
    table = label_recordings(classifier, recordings, rows="window", **options)
    assert table["path"] == recordings[:1] + recordings[1:] * 9
    np.testing.assert_allclose(table["onset"][1:], np.linspace(0, 1.6, 9), atol=1e-3)
    assert table["offset"][:2] == [0.3, 0.4] and table["offset"][-1] == 2.0
    # A window is what the network says of that stretch alone.
    stretch = decode_audio(recordings[1])[round(1.6 * 16000) :]
    logits = classifier.predict([stretch], verbose=0)[0]
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(probabilities_of(table, -1), expected, atol=1e-5)
    highest = label_recordings(classifier, recordings, rows="maximum", **options)
    windows = [probabilities_of(table, row) for row in range(1, 10)]
    np.testing.assert_allclose(probabilities_of(highest, 1), np.max(windows, axis=0), atol=2e-6)


def test_only_the_most_probable_classes_are_named(classifier, recordings):
    everything = label_recordings(classifier, recordings)
    threshold = (everything["probability_1"][0] + everything["probability_2"][0]) / 2
    table = label_recordings(classifier, recordings[:1], top=2, threshold=threshold)
    assert list(table)[3:] == ["label_1", "probability_1", "label_2", "probability_2"]
    assert table["label_1"][0] in NAMES and table["label_2"] == table["probability_2"] == [None]


def test_classes_without_names_are_numbered_and_the_unreadable_left_out(
    classifier, recordings, tmp_path
):
    (tmp_path / "0.wav").write_bytes(b"no audio")
    other = ASiTAudioClassifier(classifier.backbone, 2, classifier.preprocessor)
    with pytest.warns(UserWarning, match="Skipped 1 of 3"):
        table = label_recordings(other, tmp_path, top=1)
    assert table["path"] == recordings
    assert set(table["label_1"]) <= {"class 0", "class 1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top": 0}, "`top` must be a positive integer"),
        ({"threshold": 2}, "`threshold` must be a number between 0 and 1"),
        ({"rows": "all"}, "`rows` must be one of 'mean', 'maximum', 'window'"),
        ({"window_seconds": 1}, f"`window_seconds` must be a number between 0.025 and {SECONDS}"),
        ({"overlap": 1}, "`overlap` must be a number between 0 and 0.9"),
    ],
)
def test_bad_arguments_are_errors(classifier, recordings, arguments, message):
    with pytest.raises(ValueError, match=message):
        label_recordings(classifier, recordings, **arguments)


def test_a_classifier_of_spectrograms_is_refused(classifier, recordings):
    with pytest.raises(ValueError, match="has no preprocessor"):
        label_recordings(ASiTAudioClassifier(classifier.backbone, 2), recordings)
    with pytest.raises(ValueError, match="`classifier` must be an ASiTAudioClassifier"):
        label_recordings(classifier.backbone, recordings)
