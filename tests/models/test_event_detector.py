"""Frame-level scores: pooling of the tokens, waveforms and labels, presets, parity."""

import keras
import numpy as np
import pytest
from harness import run_task_test
from keras import ops

from keras_asit.conversion import load_event_detector
from keras_asit.models import (
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
)

BACKBONE = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}


def build(frames=64, num_steps=10, *, raw=False, **kwargs):
    preprocessor = ASiTAudioClassifierPreprocessor(ASiTAudioConverter(16000, frames, 32))
    backbone = ASiTBackbone((frames, 32), **BACKBONE)
    return ASiTEventDetector(
        backbone, 3, preprocessor if raw else None, num_steps=num_steps, **kwargs
    )


def fast(detector, *args, **kwargs):
    """Compile without XLA where that is a choice; step by step, JAX compiles each operation."""
    detector.compile(*args, jit_compile=keras.config.backend() == "jax", **kwargs)
    return detector


def spectrograms(frames=64):
    return np.random.default_rng(1).normal(size=(4, frames, 32)).astype("float32")


def waveforms(lengths=(10600, 10600)):
    generator = np.random.default_rng(1)
    return [generator.uniform(-0.5, 0.5, length).astype("float32") for length in lengths]


def values(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("raw", [False, True])
def test_what_holds_for_every_task(raw):
    run_task_test(
        ASiTEventDetector,
        {
            "backbone": build().backbone,
            "num_strong_classes": 3,
            "preprocessor": build(raw=raw).preprocessor,
            "num_weak_classes": 5,
            "class_names": ["dog", "cat", "cow"],
            "num_steps": 10,
            "thresholds": [0.1, 0.5, 1.0],
            "median_steps": [1, 3, 5],
        },
        np.stack(waveforms()) if raw else spectrograms(),
    )


def test_thresholds_and_filters_of_classes_are_checked():
    detector = build()
    assert (detector.thresholds, detector.median_steps) == ([0.5] * 3, [1] * 3)
    detector.keep_thresholds(np.array([0.1, 0.2, 1.0]), 3)
    assert (detector.thresholds, detector.median_steps) == ([0.1, 0.2, 1.0], [3] * 3)
    with pytest.raises(ValueError, match="`threshold` must be numbers from 0 to 1"):
        build(thresholds=[0.1, 0.2, 1.2])
    with pytest.raises(ValueError, match=r"`median_steps` must be odd positive .* each of 3"):
        build(median_steps=[1, 3])


@pytest.mark.parametrize("num_steps", [4, 9, 20])
def test_steps_average_or_interpolate_the_tokens(num_steps):
    detector = build(num_steps=num_steps)
    tokens = values(detector.backbone(spectrograms()))
    kernel, bias = (values(weight) for weight in detector.strong_head.weights)
    logits = values(detector(spectrograms())["strong"])
    if num_steps == 4:
        # Of 9 tokens, step 1 touches those from 9 / 4 to 18 / 4: the third to the fifth.
        expected = tokens[:, 2:5].mean(axis=1)
        step = 1
    elif num_steps == 9:
        expected, step = tokens[:, 3], 3
    else:
        expected, step = tokens[:, 0], 0
    np.testing.assert_allclose(logits[:, step], expected @ kernel + bias, rtol=0, atol=1e-5)


@pytest.mark.parametrize("frames", [592, 998, 208])
def test_scores_equal_those_of_pretrained_sed(golden, frames):
    pytest.importorskip("torch", reason="PyTorch files are read by PyTorch")
    outputs = np.load(golden / "sed_outputs.npz")
    detector = load_event_detector(
        golden / "sed_strong.pt", spectrogram_shape=(frames, 128), num_heads=2
    )
    logits = detector(outputs[f"{frames}/spectrogram"])
    for name in ("strong", "weak"):
        expected = outputs[f"{frames}/{name}"]
        difference = np.abs(values(logits[name]) - expected).max()
        assert difference / np.abs(expected).max() < 1e-5, name


# --- Waveforms and labels ---


def test_waveforms_of_any_length_become_spectrograms():
    detector = fast(build(raw=True))
    clips = waveforms((10600, 4000, 20000))
    logits = detector.predict(clips, verbose=0)
    assert logits["strong"].shape == (3, 10, 3) and logits["weak"].shape == (3, 3)
    expected = detector(detector.preprocessor(clips))
    for name, actual in logits.items():
        np.testing.assert_allclose(actual, values(expected[name]), rtol=0, atol=1e-5)


def test_it_learns_from_strong_and_weak_labels():
    detector = fast(build(raw=True))
    labels = {"strong": np.zeros((2, 10, 3)), "weak": np.ones((2, 3))}
    history = detector.fit(
        waveforms(), labels, epochs=2, verbose=0, validation_data=(waveforms(), labels)
    ).history
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert np.isfinite(detector.evaluate(waveforms(), labels, verbose=0, return_dict=True)["loss"])


def test_a_weight_is_that_of_a_clip_in_both_outputs():
    detector = fast(build(raw=True))
    labels = {"strong": np.zeros((2, 10, 3)), "weak": np.ones((2, 3))}
    first = {name: values[:1] for name, values in labels.items()}
    weighted = detector.evaluate(waveforms(), labels, sample_weight=[2, 0], verbose=0)
    alone = detector.evaluate(waveforms()[:1], first, verbose=0)
    np.testing.assert_allclose(weighted, alone, rtol=1e-5)


def test_of_one_kind_of_labels_it_learns_with_a_loss_of_that_kind():
    detector = build(raw=True)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    fast(detector, "adam", loss={"weak": loss})
    history = detector.fit(waveforms(), {"weak": np.ones((2, 3))}, epochs=2, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_it_can_be_trained_with_another_loss():
    detector = build()
    fast(detector, "adam", loss={"strong": "mse", "weak": "mse"})
    targets = {"strong": np.zeros((4, 10, 3)), "weak": np.zeros((4, 3))}
    history = detector.fit(spectrograms(), targets, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 3)), 'a dict of "strong" or "weak"'),
        ({"frames": np.zeros((2, 3))}, r"Received: \['frames'\]"),
        (
            {"strong": np.zeros((2, 9, 3)), "weak": np.zeros((2, 3))},
            r"shape \(batch, 10, 3\). Received: shape=\(2, 9, 3\)",
        ),
        (
            {"strong": np.zeros((2, 10, 3)), "weak": np.array([[0, 0, 0], [0, 2, 0]])},
            "Received: 2 for clip 1",
        ),
        ({"weak": np.zeros((2, 3))}, r"but the loss is of \['strong', 'weak'\]. Give both, or"),
        (
            {"strong": np.zeros((3, 10, 3)), "weak": np.zeros((3, 3))},
            "`y` and `sample_weight` must be of 2 clips",
        ),
    ],
)
def test_bad_labels_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        build(raw=True).fit(waveforms(), labels)


# --- Precision, presets, saving ---


def test_quantization_is_kept(tmp_path):
    detector = build()
    detector.quantize("int8")
    expected = detector(spectrograms())
    detector.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    assert loaded.strong_head.quantization_mode == "int8"
    for name, logits in loaded(spectrograms()).items():
        np.testing.assert_array_equal(values(logits), values(expected[name]))


def test_heads_have_the_precision_of_the_backbone_unless_told():
    backbone = ASiTBackbone((64, 32), **BACKBONE, dtype="bfloat16")
    assert ASiTEventDetector(backbone, 3).strong_head.variable_dtype == "bfloat16"
    detector = ASiTEventDetector(backbone, 3, head_dtype="float32")
    assert detector.weak_head.variable_dtype == "float32"
    config = build(head_dtype="mixed_float16").get_config()
    assert config["head_dtype"]["config"]["name"] == "mixed_float16"


def test_a_preset_starts_a_detector_of_other_classes(tmp_path):
    build(raw=True).save_to_preset(str(tmp_path))
    detector = ASiTEventDetector.from_preset(
        str(tmp_path), num_strong_classes=5, num_steps=4, spectrogram_shape=(96, 32)
    )
    shapes = {name: output.shape for name, output in detector.output.items()}
    assert shapes == {"strong": (None, 4, 5), "weak": (None, 5)}
    assert detector.preprocessor.audio_converter.audio_shape() == (96, 32)


def test_a_preset_without_heads_needs_the_number_of_classes(tmp_path):
    build().backbone.save_to_preset(str(tmp_path))
    ASiTAudioConverter(16000, 64, 32).save_to_preset(str(tmp_path))
    for preset in (str(tmp_path), "asit_tiny_16k"):
        with pytest.raises(ValueError, match="`num_strong_classes` must be given"):
            ASiTEventDetector.from_preset(preset)
    assert ASiTEventDetector.from_preset(str(tmp_path), num_strong_classes=2).num_weak_classes == 2


def test_a_window_lasts_as_its_frames():
    assert build().window_seconds == 0.66


def test_what_is_saved_leaves_the_choice_of_a_compiler_to_the_backend():
    detector = build()
    detector.compile("adam", loss={"strong": "mse", "weak": "mse"})
    assert detector.get_compile_config()["jit_compile"] == "auto"


def test_bad_arguments_are_errors():
    with pytest.raises(ValueError, match="must be an ASiTBackbone"):
        ASiTEventDetector("backbone", 3)
    with pytest.raises(ValueError, match="has no arguments 'num_step'"):
        build(num_step=4)
    with pytest.raises(ValueError, match="must be 3 different names"):
        build(class_names=["dog", "cat"])
    with pytest.raises(ValueError, match="`num_steps` must be a positive integer"):
        build(num_steps=0)
    with pytest.raises(ValueError, match="but the preprocessor makes"):
        ASiTEventDetector(build(frames=48).backbone, 3, build(raw=True).preprocessor)
