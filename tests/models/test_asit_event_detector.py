"""Frame-level scores: pooling of the tokens, arguments, saving, training."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.models import ASiTBackbone, ASiTEventDetector


def build(frames=64, num_steps=10, **kwargs):
    backbone = ASiTBackbone((frames, 32), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    return ASiTEventDetector(backbone, 3, num_steps=num_steps, **kwargs)


def spectrograms(frames=64):
    return np.random.default_rng(1).normal(size=(4, frames, 32)).astype("float32")


@pytest.mark.parametrize("num_steps", [4, 9, 20])
def test_steps_average_or_interpolate_the_tokens(num_steps):
    detector = build(num_steps=num_steps)
    tokens = ops.convert_to_numpy(detector.backbone(spectrograms()))
    kernel, bias = (ops.convert_to_numpy(weight) for weight in detector.strong_head.weights)
    logits = ops.convert_to_numpy(detector(spectrograms())["strong"])
    if num_steps == 4:
        # Of 9 tokens, step 1 touches those from 9 / 4 to 18 / 4: the third to the fifth.
        expected = tokens[:, 2:5].mean(axis=1)
        step = 1
    elif num_steps == 9:
        expected, step = tokens[:, 3], 3
    else:
        expected, step = tokens[:, 0], 0
    np.testing.assert_allclose(logits[:, step], expected @ kernel + bias, rtol=0, atol=1e-5)


def test_a_saved_detector_scores_the_same(tmp_path):
    detector = build(num_weak_classes=5)
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    expected = detector(spectrograms())
    for name, logits in loaded(spectrograms()).items():
        np.testing.assert_array_equal(
            ops.convert_to_numpy(logits), ops.convert_to_numpy(expected[name])
        )
    assert loaded.window_seconds == detector.window_seconds == 0.66


def test_precision_and_quantization_are_kept(tmp_path):
    detector = build()
    assert (
        build(head_dtype="mixed_float16").get_config()["head_dtype"]["config"]["name"]
        == "mixed_float16"
    )
    detector.quantize("int8")
    expected = detector(spectrograms())
    detector.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    assert loaded.strong_head.quantization_mode == "int8"
    for name, logits in loaded(spectrograms()).items():
        np.testing.assert_array_equal(
            ops.convert_to_numpy(logits), ops.convert_to_numpy(expected[name])
        )


def test_heads_have_the_precision_of_the_backbone_unless_told():
    backbone = ASiTBackbone(
        (64, 32), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16, dtype="bfloat16"
    )
    assert ASiTEventDetector(backbone, 3).strong_head.variable_dtype == "bfloat16"
    assert (
        ASiTEventDetector(backbone, 3, head_dtype="float32").weak_head.variable_dtype == "float32"
    )


def test_what_is_saved_leaves_the_choice_of_a_compiler_to_the_backend():
    detector = build()
    detector.compile("adam", loss={"strong": "mse", "weak": "mse"})
    assert detector.get_compile_config()["jit_compile"] == "auto"


def test_it_can_be_trained():
    detector = build()
    detector.compile("adam", loss={"strong": "mse", "weak": "mse"}, jit_compile=False)
    targets = {"strong": np.zeros((4, 10, 3)), "weak": np.zeros((4, 3))}
    history = detector.fit(spectrograms(), targets, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_bad_arguments_are_errors():
    with pytest.raises(ValueError, match="must be an ASiTBackbone"):
        ASiTEventDetector("backbone", 3)
    with pytest.raises(ValueError, match="has no arguments 'num_step'"):
        build(num_step=4)
    with pytest.raises(ValueError, match="`num_steps` must be a positive integer"):
        build(num_steps=0)
