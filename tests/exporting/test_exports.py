"""Exports, of each kind of model and input in each format, in their own runtimes."""

import itertools
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from harness import to_numpy

import keras_asit
from keras_asit.exporting import ExportedModel, exports
from keras_asit.exporting.exports import Export, export_together
from keras_asit.exporting.formats import FORMATS
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioClassifierPreprocessor,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
)

NAMES = ["dog & cat", '"é"', "<rain>"]
AUDIO = Path(keras_asit.__file__).parents[1] / "recipes" / "quickstart_audio"
RECORDINGS = [str(path) for path in sorted(AUDIO.glob("*/*.ogg"))[::60]]
KINDS = ("backbone", "classifier", "tagger", "detector")
CELLS = list(itertools.product(KINDS, exports.INPUTS, FORMATS))
QUANTIZED = [cell for cell in CELLS if FORMATS[cell[2]].quantizes]
IS_TENSORFLOW = keras.config.backend() == "tensorflow"
once = pytest.mark.skipif(not IS_TENSORFLOW, reason="no backend takes part in it")


def make_converter(**kwargs):
    return ASiTAudioConverter(num_frames=48, num_mels=16, **kwargs)


def make_model(kind, dtype=None):
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    # Of a network that is called as others call their poolings, all is quantized too.
    backbone = ASiTBackbone((48, 16), dtype=dtype, name="pool", **sizes)
    if kind == "backbone":
        model = backbone
    else:
        # Of all poolings, mel rows and deviation take the most operators.
        options = {
            "classifier": {},
            "tagger": {"multi_label": True, "pooling": "mel_rows_and_deviation"},
            "detector": {"num_steps": 7},
        }
        task = ASiTEventDetector if kind == "detector" else ASiTAudioClassifier
        preprocessor = ASiTAudioClassifierPreprocessor(make_converter())
        model = task(backbone, 3, preprocessor, class_names=NAMES, **options[kind])
    # Larger than they start, so that differences are too.
    generator = np.random.default_rng(1)
    model.set_weights([generator.normal(0, 0.3, x.shape) for x in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def models():
    return {kind: make_model(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def exported(models, tmp_path_factory):
    """The path and the report of each cell, quantized ones too; one process writes them all."""
    folder = tmp_path_factory.mktemp("exports")
    keys = [(*cell, False) for cell in CELLS]
    keys += [(*cell, True) for cell in QUANTIZED if IS_TENSORFLOW]
    networks = {kind: exports.named_network(model) for kind, model in models.items()}
    jobs = []
    for kind, input, format, quantize in keys:
        path = folder / f"{kind}_{input}_{format}_{quantize}{FORMATS[format].suffix}"
        converter = make_converter() if kind == "backbone" else None
        options = {"input": input, "converter": converter, "quantize": quantize}
        job = Export(models[kind], path, recordings=RECORDINGS, **options)
        # One for all formats, which a backend compiles but once.
        job.network = networks[kind]
        jobs.append(job)
    reports = export_together(jobs)
    assert not list(folder.glob(".*"))
    return dict(zip(keys, reports))


def sounds(number, seconds):
    return np.random.uniform(-0.5, 0.5, (number, round(16000 * seconds))).astype("float32")


def keras_outputs(model, waveforms):
    if isinstance(model, ASiTBackbone):
        spectrograms = make_converter()(waveforms)
        return {"tokens": model(spectrograms), "embedding": model.feature_model()(spectrograms)}
    outputs = model.predict(waveforms, verbose=0)
    return outputs if isinstance(outputs, dict) else {"logits": outputs}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "input", "format"), CELLS)
def test_the_runtime_gives_what_keras_gives(kind, input, format, models, exported):
    report = exported[kind, input, format, False]
    assert report["difference"] <= 1e-4 and report["sounds"] == 3
    model = ExportedModel(report["path"], num_threads=1)
    # Batches and lengths that none was exported with; 0.495 seconds fill the window.
    for number, seconds in ((1, 0.3), (5, 0.495), (2, 1.1), (1, 0.025)):
        waveforms = sounds(number, seconds)
        spectrograms = keras.ops.convert_to_numpy(make_converter()(waveforms))
        outputs = model(waveforms if input == "waveform" else spectrograms)
        expected = to_numpy(keras_outputs(models[kind], waveforms))
        assert outputs.keys() == expected.keys()
        for name, values in expected.items():
            assert np.ptp(values) > 0.1
            np.testing.assert_allclose(outputs[name], values, rtol=0, atol=1e-4)
    check_metadata(kind, input, model.metadata)


def check_metadata(kind, input, metadata):
    """Assert that a file says what it is, and how its classes are called."""
    assert metadata["kind"] == kind and metadata["input"] == f"{input}s"
    assert metadata["class_names"] == (None if kind == "backbone" else NAMES)
    functions = {"backbone": None, "classifier": "softmax"}
    assert metadata["probabilities_by"] == functions.get(kind, "sigmoid")
    assert metadata["spectrogram_shape"] == [48, 16] and metadata["sample_rate"] == 16000
    assert metadata["quantized"] is None
    # 47 shifts of 10 ms and a window of 25.
    assert metadata["window_samples"] == 7920 and metadata["shortest_samples"] == 400
    shapes = {"tokens": [None, 4, 16], "embedding": [None, 32], "logits": [None, 3]}
    shapes |= {"strong": [None, 7, 3], "weak": [None, 3]}
    assert metadata["outputs"] == {name: shapes[name] for name in metadata["outputs"]}
    if kind == "detector":
        assert metadata["seconds_per_step"] == pytest.approx(0.5 / 7)


@pytest.mark.slow
@once
@pytest.mark.parametrize(("kind", "input", "format"), QUANTIZED)
def test_integers_cost_little_and_how_much_is_reported(kind, input, format, exported):
    report, whole = (exported[kind, input, format, quantize] for quantize in (True, False))
    assert 1e-4 < report["relative_difference"] < 0.1
    assert report["relative_difference"] > whole["relative_difference"]
    assert ("agreement" in report) == (kind != "backbone")
    assert ExportedModel(report["path"]).metadata["quantized"] == "int8"


@pytest.mark.slow
@once
def test_what_differs_is_not_kept(models, tmp_path, monkeypatch):
    model, write = make_model("classifier"), exports._write

    def write_and_train(jobs, path):
        write(jobs, path)
        model.set_weights([weight + 0.01 for weight in model.get_weights()])

    monkeypatch.setattr(exports, "_write", write_and_train)
    with pytest.raises(RuntimeError, match=r"litert are not those of Keras, but differ by up to"):
        keras_asit.export(model, tmp_path / "classifier.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@once
def test_accuracy_is_reported_where_folders_are_classes(tmp_path, write_noise):
    classifier = make_model("classifier")
    classifier.class_names = ["dog", "cat", "rain"]
    for name in classifier.class_names:
        (tmp_path / "sounds" / name).mkdir(parents=True)
        write_noise(f"{name}.wav").rename(tmp_path / "sounds" / name / "noise.wav")
    (tmp_path / "sounds" / "dog" / "broken.wav").write_bytes(b"no audio")
    path = tmp_path / "new" / "classifier.onnx"
    report = keras_asit.export(classifier, path, quantize=True, recordings=tmp_path / "sounds")
    assert report["sounds"] == 3 and report["bytes"] == path.stat().st_size
    # Noise is noise to this classifier: it is right once.
    assert report["keras_accuracy"] == pytest.approx(1 / 3)
    assert report["accuracy"] == pytest.approx(1 / 3) and report["agreement"] == 1


# --- What is said before any work ---


def test_arguments_are_checked(models, tmp_path):
    classifier, path = models["classifier"], tmp_path / "classifier.onnx"

    def complain(message, model=classifier, path=path, **kwargs):
        with pytest.raises(ValueError, match=message):
            keras_asit.export(model, path, **kwargs)

    complain("`model` must be an ASiTBackbone, .* Received: Dense", keras.layers.Dense(1))
    complain("`input` must be one of 'waveform', 'spectrogram'", input="audio")
    complain("`format` must be one of .*'litert'", format="tflite")
    complain("`path` must end in .tflite for litert", format="litert")
    complain(
        r"suffixes none \(tf_saved_model\), .onnx .* in lower case", path=tmp_path / "classifier.pb"
    )
    complain("`quantize` is for onnx and litert", path=tmp_path / "classifier", quantize=True)
    complain("`converter` must be given for waveforms", models["backbone"])
    complain(
        r"spectrograms of \(48, 16\) .* makes \(592, 128\)",
        models["backbone"],
        converter=ASiTAudioConverter(),
    )
    complain("None of `recordings` could be read", recordings=[__file__])
    path.touch()
    complain("classifier.onnx exists already")
    with pytest.raises(FileNotFoundError, match=r"There is no absent\.tflite"):
        ExportedModel("absent.tflite")


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "int8"])
def test_only_float32_is_exported(precision, tmp_path):
    model = make_model("classifier", None if precision == "int8" else precision)
    if precision == "int8":
        model.quantize("int8")
    with pytest.raises(ValueError, match=f"must be in float32.* Received: .*{precision[-8:]}"):
        keras_asit.export(model, tmp_path / "classifier.onnx")


def test_weights_that_are_not_finite_are_not_exported(tmp_path):
    model = make_model("classifier")
    model.output_dense.bias.assign([0, np.nan, 0])
    with pytest.raises(ValueError, match=r"must have finite weights.* Not finite are: .*bias"):
        keras_asit.export(model, tmp_path / "classifier.onnx", quantize=True)


def test_a_missing_package_is_named_with_its_extra(models, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"tf2onnx.*pip install 'keras-asit\[export\]'"):
        keras_asit.export(models["classifier"], tmp_path / "classifier.onnx")
