"""Classifiers saved, loaded, and started from others."""

import importlib.util
import os
import subprocess
import sys

import h5py
import keras
import keras_hub
import numpy as np
import pytest
from harness import assert_close
from keras import ops
from small_classifier import LABELS, NAMES, build, fast, predict, tones

from keras_asit.layers import SpecAugment
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTBackbone,
)


def test_saved_whole_and_as_a_preset_it_predicts_the_same(tmp_path, recwarn):
    classifier = build(
        class_names=NAMES, pooling="mean", dropout=0.1, augmentation=SpecAugment(4, 4, seed=1)
    )
    classifier.fit(tones(), LABELS, verbose=0)
    expected = predict(classifier, tones())
    classifier.save(tmp_path / "classifier.keras")
    classifier.save_to_preset(str(tmp_path / "preset"))
    for loaded in (
        keras.saving.load_model(tmp_path / "classifier.keras"),
        ASiTAudioClassifier.from_preset(str(tmp_path / "preset")),
    ):
        np.testing.assert_array_equal(predict(fast(loaded), tones()), expected)
        assert loaded.class_names == NAMES
        assert loaded.augmentation.max_frames == 4
    # A preset has no states of an optimizer, twice the weights, to be loaded or skipped.
    assert classifier.optimizer.iterations == 1
    with h5py.File(tmp_path / "preset" / "task.weights.h5") as file:
        assert "layers" in file and "optimizer" not in file
    assert not [warning for warning in recwarn if "optimizer" in str(warning.message)]
    backbone = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert isinstance(backbone, ASiTBackbone)
    other = fast(
        ASiTAudioClassifier.from_preset(
            str(tmp_path / "preset"), num_classes=5, spectrogram_shape=(48, 32)
        )
    )
    assert predict(other, tones()).shape == (6, 5)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(other.backbone.transformer_blocks[0].weights[0]),
        ops.convert_to_numpy(classifier.backbone.transformer_blocks[0].weights[0]),
    )


def test_starts_from_a_built_in_preset():
    with pytest.warns(UserWarning, match="random"):
        classifier = ASiTAudioClassifier.from_preset(
            "asit_tiny_16k", num_classes=3, spectrogram_shape=(32, 128)
        )
    assert classifier.preprocessor.audio_converter.audio_shape() == (32, 128)
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        ASiTAudioClassifier.from_preset("asit_tiny_16k")


def test_a_preset_starts_a_classifier_of_other_classes(tmp_path):
    build(class_names=NAMES).save_to_preset(str(tmp_path))
    classifier = ASiTAudioClassifier.from_preset(
        str(tmp_path), num_classes=np.int64(5), augmentation=SpecAugment(8, 4)
    )
    assert classifier.output_shape == (None, 5)
    assert classifier.class_names is None
    assert isinstance(classifier.augmentation, SpecAugment)


def test_classes_start_from_those_of_the_same_names():
    source, spectrograms = (
        build(class_names=NAMES),
        np.random.default_rng(1).normal(size=(2, 32, 32)),
    )
    other = ASiTAudioClassifier(source.backbone, 2, class_names=["cow", "cat"])
    other.copy_head(source)
    logits = ops.convert_to_numpy(source(spectrograms))
    assert_close(other(spectrograms), logits[:, [2, 0]], atol=1e-6)
    for arguments, message in [
        ({"class_names": ["cow", "ant"]}, "Unknown to it: 'ant'"),
        ({}, "it has 3 names. Unknown to it: 'classes without names'"),
        ({"class_names": ["cow", "cat"], "pooling": "mean"}, "must have the pooling 'mean'"),
    ]:
        other = ASiTAudioClassifier(source.backbone, 2, **arguments)
        with pytest.raises(ValueError, match=message):
            other.copy_head(source)


def test_fine_tuning_may_change_the_backbone_and_the_precision(tmp_path):
    build(class_names=NAMES).save_to_preset(str(tmp_path))
    load = ASiTAudioClassifier.from_preset
    changed = load(str(tmp_path), num_classes=2, drop_path_rate=0.2, patch_stride=10)
    assert changed.backbone.drop_path_rate == 0.2
    assert changed.backbone.patch_stride == (10, 10)
    half = load(str(tmp_path), dtype="bfloat16")
    assert {half.backbone.variable_dtype, half.output_dense.variable_dtype} == {"bfloat16"}
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        load(str(tmp_path), drop_path_rate=0.2)


def test_a_backbone_without_a_converter_starts_a_classifier_of_spectrograms(tmp_path):
    build().backbone.save_to_preset(str(tmp_path))
    for arguments in ({}, {"spectrogram_shape": (48, 32)}):
        with pytest.raises(ValueError, match="has no `ASiTAudioConverter`"):
            ASiTAudioClassifier.from_preset(str(tmp_path), num_classes=2, **arguments)
        classifier = ASiTAudioClassifier.from_preset(
            str(tmp_path), num_classes=2, preprocessor=None, **arguments
        )
        assert classifier.preprocessor is None


@pytest.mark.slow
def test_quantized_it_is_saved_and_loaded(tmp_path):
    build().save(tmp_path / "float.keras")
    classifier = keras.saving.load_model(tmp_path / "float.keras")
    classifier.quantize("int8")
    expected = classifier.predict(tones())
    classifier.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    np.testing.assert_allclose(loaded.predict(tones()), expected, atol=1e-6)


def test_what_is_saved_leaves_the_choice_of_a_compiler_to_the_backend(tmp_path):
    classifier = build()
    classifier.compile()
    assert classifier.get_compile_config()["jit_compile"] == "auto"
    classifier.compile(jit_compile=False)
    assert classifier.get_compile_config()["jit_compile"] is False
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert loaded.get_compile_config()["jit_compile"] is False


PREDICT = """
import sys
import keras, numpy as np, keras_asit
model = keras.saving.load_model(sys.argv[1])
waveforms = [np.sin(np.arange(n) * 0.1).astype("float32") * 0.3 for n in (6000, 4000)]
np.save(sys.argv[2], model.predict(waveforms, verbose=0))
"""


@pytest.mark.slow
def test_one_file_predicts_the_same_under_each_backend(tmp_path):
    build(class_names=NAMES, augmentation=SpecAugment(8, 4)).save(tmp_path / "classifier.keras")
    backends = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
    if len(backends) == 1:
        pytest.skip("needs another backend")
    outputs = {}
    for backend in backends:
        output = tmp_path / f"{backend}.npy"
        command = [sys.executable, "-c", PREDICT, tmp_path / "classifier.keras", output]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        finished = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        outputs[backend] = np.load(output)
    for output in outputs.values():
        np.testing.assert_allclose(output, outputs["tensorflow"], atol=1e-5)
