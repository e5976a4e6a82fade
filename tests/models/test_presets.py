"""Built-in presets: their metadata, and the way from a published file to a preset."""

import csv
import http.server
import importlib
import os
import subprocess
import sys
import threading
import types

import keras_hub
import numpy as np
import pytest
from keras import ops

from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
    presets,
)

SMALL = {"spectrogram_shape": (592, 128), "num_layers": 2, "num_heads": 2, "hidden_dim": 16}
NAME = "asit_base_16k_audioset"
STRONG = f"{NAME}_strong"
SHIPPED = "asit_small_free_16k"


def values(backbone):
    return [ops.convert_to_numpy(weight) for weight in backbone.weights]


@pytest.fixture
def small_release(golden, tmp_path, monkeypatch):
    """A folder with a small file in the published layout, and the preset table to match."""
    pytest.importorskip("torch", reason="the published files are PyTorch's")
    release = tmp_path / "release"
    release.mkdir()
    for name, small in ((NAME, "sed_ssl.pt"), (STRONG, "sed_strong.pt")):
        preset = presets.PRESETS[name]
        (release / preset["file"]).write_bytes((golden / small).read_bytes())
        shape = preset["backbone"]["spectrogram_shape"]
        backbone = {**SMALL, "mlp_dim": 64, "spectrogram_shape": shape}
        monkeypatch.setitem(presets.PRESETS, name, {**preset, "backbone": backbone})
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_ASIT_SOURCE", str(release))
    return release


@pytest.fixture
def server(small_release):
    """A loopback server of the release; its handler counts requests and can cut answers short."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        requests = 0
        share = 1.0

        def __init__(self, *args):
            super().__init__(*args, directory=str(small_release))

        def do_GET(self):
            Handler.requests += 1
            contents = (small_release / self.path.lstrip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(contents)))
            self.end_headers()
            self.wfile.write(contents[: int(Handler.share * len(contents))])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        Handler.url = f"http://127.0.0.1:{running.server_port}"
        yield Handler
        running.shutdown()


# --- What is listed ---


@pytest.mark.parametrize(
    "name",
    ["asit_tiny_16k", SHIPPED]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("asit_small_16k", NAME, f"{NAME}_weak")
    ],
)
def test_metadata_counts_the_parameters(name):
    metadata = ASiTBackbone.presets[name]["metadata"]
    backbone = ASiTBackbone.from_preset(name, load_weights=False)
    assert backbone.count_params() == metadata["params"]
    assert backbone.spectrogram_shape == metadata["spectrogram_shape"]


@pytest.mark.parametrize("name", presets.PRESETS)
def test_metadata_agrees_with_the_converter(name):
    metadata = ASiTAudioConverter.presets[name]["metadata"]
    converter = ASiTAudioConverter.from_preset(name)
    assert converter.sample_rate == metadata["sample_rate"]
    assert converter.audio_shape() == metadata["spectrogram_shape"]
    assert {"description", "source", "license"} <= metadata.keys()


def test_a_preset_that_is_not_there_is_told_with_what_may_be_meant(tmp_path):
    with pytest.raises(ValueError, match=r"asit_small_free_16k\. Received: .*Did you mean asit_sm"):
        ASiTBackbone.from_preset("asit_smal_free_16k")
    for name in ("preset", "teacher"):
        (tmp_path / name / name).mkdir(parents=True)
        with pytest.raises(ValueError, match=rf"Did you mean {tmp_path / name / name}\?"):
            ASiTAudioConverter.from_preset(tmp_path / name)
    with pytest.raises(ValueError, match=r"Received: preset='nowhere'\.$"):
        ASiTAudioClassifier.from_preset("nowhere", num_classes=2)


def test_an_architecture_says_that_it_starts_at_random():
    with pytest.warns(UserWarning, match="starts at random"):
        backbone = ASiTBackbone.from_preset("asit_tiny_16k", spectrogram_shape=(48, 128))
    assert backbone.spectrogram_shape == (48, 128)
    assert "starts at random" in ASiTBackbone.presets["asit_tiny_16k"]["metadata"]["description"]


# --- In the package ---


def test_the_shipped_preset_is_there_without_a_connection_and_knows_sounds(monkeypatch):
    monkeypatch.setenv("KERAS_ASIT_SOURCE", "nowhere")
    backbone = ASiTBackbone.from_preset(SHIPPED)
    converter = ASiTAudioConverter.from_preset(SHIPPED)
    assert {weight.dtype for weight in backbone.weights} <= {"float32", "int32", "int64", "uint32"}
    assert (converter.mean, converter.standard_deviation) != (
        ASiTAudioConverter().mean,
        ASiTAudioConverter().standard_deviation,
    )
    # Two tones of half a second, and each again at another loudness and a little later.
    seconds = np.arange(8000) / 16000
    low, high = (np.sin(2 * np.pi * pitch * seconds) for pitch in (220, 1200))
    clips = [low, high, 0.3 * np.roll(low, 900), 0.3 * np.roll(high, 900)]
    features = backbone.feature_model().predict(converter(np.stack(clips)), verbose=0)
    distances = np.linalg.norm(features[:2, None] - features[None, 2:], axis=-1)
    assert distances.argmin(axis=1).tolist() == [0, 1]


def test_the_shipped_preset_is_small_and_says_where_it_is_from():
    folder = presets.PRESETS[SHIPPED]["folder"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "Apache" in card
    with (folder / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        licenses = {row["license"].split("-")[0].split(" ")[0] for row in csv.DictReader(file)}
    assert licenses == {"Apache", "BSD", "CC", "CC0", "MIT", "public"}


def test_a_classifier_starts_from_the_shipped_preset():
    classifier = ASiTAudioClassifier.from_preset(SHIPPED, num_classes=3)
    weights = ASiTBackbone.from_preset(SHIPPED).get_weights()
    for weight, expected in zip(classifier.backbone.get_weights(), weights):
        np.testing.assert_array_equal(weight, expected)
    untrained = ASiTBackbone.from_preset(SHIPPED, load_weights=False)
    assert untrained.get_config() == {**classifier.backbone.get_config(), "name": untrained.name}
    assert np.abs(untrained.get_weights()[0] - weights[0]).max() > 0


# --- From a published file ---


def test_a_local_copy_is_converted_once(small_release):
    backbone = ASiTBackbone.from_preset(NAME)
    (small_release / "ASIT_ssl.pt").unlink()
    again = ASiTBackbone.from_preset(NAME)
    for weight, expected in zip(values(again), values(backbone)):
        np.testing.assert_array_equal(weight, expected)


def test_a_detector_keeps_its_published_heads(small_release, golden):
    outputs = np.load(golden / "sed_outputs.npz")
    detector = ASiTEventDetector.from_preset(STRONG)
    converter = ASiTAudioConverter.from_preset(STRONG)
    assert detector.preprocessor.audio_converter.get_config() == {
        **converter.get_config(),
        "name": detector.preprocessor.audio_converter.name,
    }
    for name, logits in detector(outputs["998/spectrogram"]).items():
        expected = outputs[f"998/{name}"]
        difference = np.abs(ops.convert_to_numpy(logits) - expected).max()
        assert difference / np.abs(expected).max() < 1e-5, name
    waveforms = [np.zeros(160000, "float32"), np.zeros(80000, "float32")]
    assert detector.predict(waveforms, verbose=0)["strong"].shape == (2, 250, 7)


def test_backbones_and_classifiers_come_of_a_detector_too(small_release):
    detector = ASiTEventDetector.from_preset(STRONG)
    classifier = ASiTAudioClassifier.from_preset(STRONG, num_classes=4)
    assert classifier.output_shape == (None, 4)
    for backbone in (ASiTBackbone.from_preset(STRONG), classifier.backbone):
        for weight, expected in zip(values(backbone), values(detector.backbone), strict=True):
            np.testing.assert_array_equal(weight, expected)
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        ASiTAudioClassifier.from_preset(STRONG)
    with pytest.raises(ValueError, match="`num_strong_classes` must be given"):
        ASiTEventDetector.from_preset(NAME)
    other = ASiTEventDetector.from_preset(STRONG, num_strong_classes=2)
    assert other.output["weak"].shape == (None, 2)


def test_a_single_file_may_be_named(small_release, monkeypatch):
    monkeypatch.setenv("KERAS_ASIT_SOURCE", str(small_release / "ASIT_ssl.pt"))
    assert ASiTBackbone.from_preset(NAME).hidden_dim == 16
    with pytest.raises(FileNotFoundError, match="ASIT_weak"):
        ASiTBackbone.from_preset(f"{NAME}_weak")


def test_it_is_downloaded_from_a_url(server, small_release, monkeypatch):
    local = ASiTBackbone.from_preset(NAME)
    for url, home in ((server.url, "http"), (small_release.as_uri(), "file")):
        monkeypatch.setenv("KERAS_HOME", str(small_release.parent / home))
        monkeypatch.setenv("KERAS_ASIT_SOURCE", url)
        for weight, expected in zip(values(ASiTBackbone.from_preset(NAME)), values(local)):
            np.testing.assert_array_equal(weight, expected)
    assert server.requests == 1


def test_another_shape_and_precision_on_loading(small_release):
    backbone = ASiTBackbone.from_preset(NAME, spectrogram_shape=(998, 128))
    assert backbone.output_shape == (None, 1 + 62 * 8, 16)
    half = ASiTBackbone.from_preset(NAME, dtype="bfloat16")
    assert half.norm.gamma.dtype == "bfloat16"


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_download_cut_short_leaves_nothing_behind(server, monkeypatch, share):
    monkeypatch.setenv("KERAS_ASIT_SOURCE", server.url)
    server.share = share
    with pytest.raises((OSError, ValueError)):
        ASiTBackbone.from_preset(NAME)
    assert list(presets.cache_folder().iterdir()) == []
    server.share = 1.0
    assert ASiTBackbone.from_preset(NAME).hidden_dim == 16


def test_a_failed_conversion_leaves_nothing_behind(small_release, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(ASiTAudioConverter, "save_to_preset", fail)
        with pytest.raises(OSError, match="disk full"):
            ASiTBackbone.from_preset(NAME)
    assert list(presets.cache_folder().iterdir()) == []
    assert ASiTBackbone.from_preset(NAME).hidden_dim == 16


def test_a_process_that_comes_second_uses_the_first_ones(small_release, monkeypatch):
    convert = presets.CONVERSIONS[".pt"]
    inner = []

    def convert_while_another_does(*args):
        if not inner:
            inner.append(None)
            inner.append(ASiTBackbone.from_preset(NAME))
        convert(*args)

    monkeypatch.setitem(presets.CONVERSIONS, ".pt", convert_while_another_does)
    backbone = ASiTBackbone.from_preset(NAME)
    for weight, expected in zip(values(backbone), values(inner[1])):
        np.testing.assert_array_equal(weight, expected)
    assert [path.name for path in presets.cache_folder().iterdir()] == [NAME]


def test_the_error_offline_tells_the_ways_out(monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="the published files are PyTorch's")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_ASIT_SOURCE", "http://127.0.0.1:9/nothing")
    with pytest.raises(OSError, match="KERAS_ASIT_SOURCE"):
        ASiTBackbone.from_preset(NAME)


def test_a_file_of_another_size_is_refused(small_release, golden):
    (small_release / "ASIT_weak.pt").write_bytes((golden / "sed_strong.pt").read_bytes())
    with pytest.raises(ValueError, match="not the published file"):
        ASiTBackbone.from_preset(f"{NAME}_weak")


# --- KerasHub's own ways ---


@pytest.mark.parametrize(
    ("module", "function", "handle", "passed"),
    [
        ("huggingface_hub", "hf_hub_download", "hf://somebody/asit", "somebody/asit"),
        (
            "kagglehub",
            "model_download",
            "kaggle://somebody/asit/keras/tiny",
            "somebody/asit/keras/tiny",
        ),
    ],
)
def test_hub_handles_reach_keras_hub_unchanged(monkeypatch, module, function, handle, passed):
    asked = []

    def download(*args, **kwargs):
        asked.extend([*args, *kwargs.values()])
        raise ValueError("no connection here")

    monkeypatch.setattr(importlib.import_module(module), function, download)
    with pytest.raises(ValueError):
        ASiTBackbone.from_preset(handle)
    assert passed in asked


def test_a_saved_folder_can_be_uploaded(tmp_path, monkeypatch):
    import huggingface_hub

    backbone = ASiTBackbone(**{**SMALL, "mlp_dim": 32})
    backbone.save_to_preset(str(tmp_path))
    uploaded = []
    repository = types.SimpleNamespace(repo_id="somebody/asit")
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda **kwargs: repository)
    monkeypatch.setattr(huggingface_hub, "file_exists", lambda **kwargs: True)
    monkeypatch.setattr(huggingface_hub, "upload_folder", lambda **kwargs: uploaded.append(kwargs))
    keras_hub.upload_preset("hf://somebody/asit", str(tmp_path))
    assert uploaded[0]["folder_path"] == str(tmp_path)


def test_a_preset_loads_at_another_shape_through_keras_hub(tmp_path):
    backbone = ASiTBackbone((64, 32), num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    backbone.save_to_preset(str(tmp_path))
    loaded = keras_hub.models.Backbone.from_preset(str(tmp_path), spectrogram_shape=(96, 48))
    spectrograms = np.random.default_rng(1).normal(size=(2, 96, 48)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(spectrograms)),
        ops.convert_to_numpy(backbone.encode(spectrograms)),
        rtol=0,
        atol=1e-5,
    )
    overlapping = ASiTBackbone.from_preset(str(tmp_path), patch_stride=8)
    assert overlapping.grid_shape == (7, 3)


@pytest.mark.slow
def test_presets_are_exact_across_backends(tmp_path):
    backbone = ASiTBackbone(**{**SMALL, "mlp_dim": 32})
    backbone.save_to_preset(str(tmp_path / "preset"))
    np.savez(tmp_path / "here.npz", *values(backbone))
    script = (
        "import keras_asit, sys, numpy as np, keras;"
        "b = keras_asit.models.ASiTBackbone.from_preset(sys.argv[1] + '/preset');"
        "h = np.load(sys.argv[1] + '/here.npz');"
        "assert all((h[f'arr_{i}'] == keras.ops.convert_to_numpy(w)).all()"
        " for i, w in enumerate(b.weights)); print(keras.config.backend())"
    )
    for backend in ("tensorflow", "jax", "torch"):
        if backend != "tensorflow":
            pytest.importorskip(backend)
        result = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
        assert result.stdout.strip() == backend, result.stderr
