"""The classifier: training, labels, metrics, outputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import assert_close, run_task_test
from keras import ops
from keras.optimizers import LossScaleOptimizer
from small_classifier import LABELS, NAMES, build, fast, predict, tones

from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
)
from keras_asit.optimizers import AdamW


@pytest.mark.slow
def test_learns_from_names_and_from_indices_and_says_how_well():
    classifier = build(class_names=NAMES, pooling="cls_and_mean")
    fast(classifier, keras.optimizers.Adam(1e-2))
    names = [NAMES[label] for label in LABELS]
    history = classifier.fit(
        tones(), names, batch_size=6, epochs=25, validation_data=(tones(), LABELS), verbose=0
    ).history
    assert history["val_accuracy"][-1] == 1
    assert classifier.evaluate(tones(), names, verbose=0)[1] == 1
    split = classifier.fit(tones(), LABELS, validation_split=0.5, verbose=0).history
    assert "val_loss" in split


@pytest.mark.parametrize("raw", [False, True])
def test_what_holds_for_every_task(raw):
    classifier = build(raw)
    clips = np.stack(tones([6000, 6000, 6000]))
    run_task_test(
        ASiTAudioClassifier,
        {
            "backbone": classifier.backbone,
            "num_classes": 3,
            "preprocessor": classifier.preprocessor,
            "class_names": NAMES,
            "pooling": "cls_and_mean",
            "dropout": 0.1,
        },
        clips if raw else ops.convert_to_numpy(build().preprocessor(clips)),
    )


@pytest.mark.slow
def test_several_labels_a_clip():
    classifier = build(multi_label=True)
    fast(classifier, keras.optimizers.Adam(1e-2))
    labels = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0]] * 2)
    history = classifier.fit(tones(), labels, batch_size=6, epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    probabilities = classifier.probability_model().predict(
        ops.convert_to_numpy(classifier.preprocessor(tones())), verbose=0
    )
    np.testing.assert_allclose(
        probabilities, 1 / (1 + np.exp(-predict(classifier, tones()))), atol=1e-5
    )


@pytest.mark.slow
def test_a_frozen_backbone_and_lora_leave_its_weights():
    classifier = build()
    classifier.backbone.trainable = False
    fast(classifier)
    before = [ops.convert_to_numpy(weight) for weight in classifier.backbone.weights]
    classifier.fit(tones(), LABELS, verbose=0)
    for weight, value in zip(classifier.backbone.weights, before):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), value)
    assert len(classifier.trainable_variables) == 2

    classifier = build()
    classifier.backbone.enable_lora(2)
    fast(classifier, keras.optimizers.Adam(1e-2))
    classifier.fit(tones(), LABELS, verbose=0)
    assert any("lora" in variable.path for variable in classifier.trainable_variables)


def test_bad_arguments_are_errors():
    backbone = ASiTBackbone((32, 32), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=48, num_mels=32))
    with pytest.raises(ValueError, match="but the preprocessor makes"):
        ASiTAudioClassifier(backbone, 3, preprocessor)
    with pytest.raises(ValueError, match=r"must be 3 different names.*more than once: 'a'"):
        ASiTAudioClassifier(backbone, 3, class_names=["a", "a", "b"])
    with pytest.raises(ValueError, match=r"must be 3 different names.*Received: 2"):
        ASiTAudioClassifier(backbone, 3, class_names=["a", "b"])
    for names in ("abc", ["a", "b", 3]):
        with pytest.raises(ValueError, match="must be a list of strs"):
            ASiTAudioClassifier(backbone, 3, class_names=names)
    with pytest.raises(ValueError, match="has no arguments 'dropot'"):
        ASiTAudioClassifier(backbone, 3, dropot=0.5)
    with pytest.raises(ValueError, match="`pooling` must be one of"):
        ASiTAudioClassifier(backbone, 3, pooling="max")
    with pytest.raises(ValueError, match="must be sampled at 16000 Hz"):
        preprocessor(tones(), sample_rate=44100)
    with pytest.raises(ValueError, match=r"spectrograms of shape \(batch, 32, 32\)"):
        ASiTAudioClassifier(backbone, 3).predict(np.zeros((2, 48, 32)))


def test_one_class_is_a_yes_or_no():
    keras.utils.set_random_seed(1)
    backbone = ASiTBackbone((32, 32), num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(num_frames=32, num_mels=32))
    classifier = fast(ASiTAudioClassifier(backbone, 1, preprocessor, compile=False), AdamW(1e-2))
    labels = [1, 0, 0, 1, 0, 0]
    classifier.fit(tones(), labels, epochs=20, verbose=0)
    logits = predict(classifier, tones())
    assert logits.shape == (6, 1)
    logs = classifier.evaluate(tones(), labels, verbose=0, return_dict=True)
    assert logs["accuracy"] == 1
    loss = np.mean(np.log1p(np.exp(np.where(labels, -1, 1) * logits[:, 0])))
    assert logs["loss"] == pytest.approx(loss, rel=1e-4)
    columns = np.array(labels, "float32")[:, None]
    assert classifier.evaluate(tones(), columns, verbose=0) == pytest.approx([loss, 1], rel=1e-4)
    spectrograms = preprocessor(tones())
    probabilities = ops.convert_to_numpy(classifier.probability_model()(spectrograms))
    assert_close(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-5)
    with pytest.raises(ValueError, match=r"from 0 to 1\. Received: 2 for clip 1"):
        classifier.fit(tones(), [0, 2, 0, 0, 0, 0])


@pytest.mark.parametrize(("multi_label", "activation"), [(False, "softmax"), (True, "sigmoid")])
def test_outputs_may_be_probabilities(multi_label, activation):
    classifier = build(multi_label=multi_label, activation=activation)
    spectrograms = ops.convert_to_numpy(classifier.preprocessor(tones()))
    probabilities = predict(classifier, tones())
    assert probabilities.min() > 0 and probabilities.max() < 1
    assert_close(classifier.probability_model()(spectrograms), probabilities, atol=1e-5)
    labels = np.eye(3)[LABELS] if multi_label else LABELS
    expected = np.mean(-np.log(probabilities[np.arange(6), LABELS]))
    if multi_label:
        expected = -np.mean(np.log(np.where(labels == 1, probabilities, 1 - probabilities)))
    assert classifier.evaluate(tones(), labels, verbose=0)[0] == pytest.approx(expected, rel=1e-3)


def test_an_epoch_of_whole_batches_counts_each_once():
    classifier = build(raw=False)
    classifier.compile(keras.optimizers.SGD(0.0), classifier.loss)
    spectrograms = np.random.default_rng(1).normal(size=(6, 32, 32)).astype("float32")
    # TensorFlow knows their size, but not how many: its last step asks for one more, in vain.
    batches = tf.data.Dataset.from_tensor_slices((spectrograms, LABELS))
    batches = batches.batch(2, drop_remainder=True).filter(lambda *_: True)
    history = classifier.fit(batches, verbose=0).history
    options = {"verbose": 0, "return_dict": True}
    expected = classifier.evaluate(spectrograms, LABELS, batch_size=2, **options)["loss"]
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert classifier.evaluate(batches, **options)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_fine_tuned_as_full_precision(dtype):
    losses = []
    for each in ("float32", dtype):
        optimizer = AdamW(1e-3)
        if each == "mixed_float16":
            optimizer = LossScaleOptimizer(optimizer, initial_scale=4.0)
        classifier = fast(build(dtype=each), optimizer)
        data = {"x": tones(), "y": LABELS, "batch_size": 3, "shuffle": False}
        losses.append(classifier.fit(**data, epochs=25, verbose=0).history["loss"][-1])
        assert int(optimizer.iterations) == 50
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
