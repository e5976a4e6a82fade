"""Models written for other runtimes, and kept only if these give what Keras gives."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_asit._arguments import check_choice, check_instance, name_some
from keras_asit._extras import check_extra
from keras_asit._files import PARTIAL
from keras_asit.exporting.comparison import (
    accuracies,
    compare,
    differences,
    is_close,
    read_sounds,
)
from keras_asit.exporting.formats import FORMATS, ExportedModel, format_of
from keras_asit.layers import TokenPooling
from keras_asit.models import (
    ASiTAudioClassifier,
    ASiTAudioConverter,
    ASiTBackbone,
    ASiTEventDetector,
)

INPUTS = ("waveform", "spectrogram")
# The largest difference from Keras of an export that is kept, as `is_close` takes it.
TOLERANCE = 1e-4


def export(
    model: ASiTBackbone | ASiTAudioClassifier | ASiTEventDetector,
    path: str | os.PathLike,
    *,
    format: str | None = None,
    input: str = "waveform",
    converter: ASiTAudioConverter | None = None,
    quantize: bool = False,
    recordings: str | Sequence[str] | None = None,
) -> dict:
    """Write a model for a runtime that needs no Keras, and compare the two before it is kept.

    Works under every backend: another process converts, under TensorFlow. Batches are of any
    size, and waveforms of any length from 25 ms on; like the converter, the export cuts and pads.
    Outputs are `"tokens"` and `"embedding"`, that of `feature_model()`, of a backbone; `"logits"`
    or `"probabilities"` of a classifier; `"strong"` and `"weak"` of an event detector. With the
    names of the classes and what else a user of the file needs, they are in its metadata, which
    `keras_asit.exporting.ExportedModel` shows.

    Args:
        model: an `ASiTBackbone`, `ASiTAudioClassifier` or `ASiTEventDetector`, in float32.
        path: str or `os.PathLike`. It must not exist; folders that it is in are made.
        format: str. `"tf_saved_model"` (a folder, no suffix), `"onnx"` (.onnx), `"openvino"` (.xml,
            and .bin beside it) or `"litert"` (.tflite). Defaults to `None`: as the suffix says.
        input: str. `"waveform"`, the front end being inside, or `"spectrogram"`, which the
            converter makes. Defaults to `"waveform"`.
        converter: an `ASiTAudioConverter`. Defaults to `None`, that of the model's preprocessor; a
            backbone has none.
        quantize: bool. Whether weights become 8-bit integers (ONNX and LiteRT), at a loss that is
            reported and has no limit. Defaults to `False`.
        recordings: str, `os.PathLike`, or list of them, as in `keras_asit.data.read_manifest`, to
            compare on. Defaults to `None`: tones in noise.

    Returns:
        A dict: `"path"`; `"bytes"`; `"sounds"`, how many were compared; `"difference"`, the largest
        of all outputs; `"relative_difference"`, of norms; with classes `"agreement"`, the share of
        decisions that are alike; and if folders of the recordings are classes of a classifier,
        `"accuracy"` and `"keras_accuracy"`.

    Raises:
        ValueError: if an argument is invalid.
        ImportError: if a package of the extra `export` is missing.
        RuntimeError: if the model cannot be converted or, without `quantize`, an output differs by
            more than 1e-4, or 1e-4 of its largest value if that exceeds 1. There is no file then.

    Example:
    ```python
    report = keras_asit.export(classifier, "classifier.onnx")
    print(report["difference"])
    ```
    """
    export = Export(model, Path(path), format, input, converter, quantize, recordings)
    return export_together([export])[0]


@dataclasses.dataclass
class Export:
    """What is asked of one export; the arguments are those of `export`, and checked."""

    model: keras.Model
    path: Path
    format: str | None = None
    input: str = "waveform"
    converter: ASiTAudioConverter | None = None
    quantize: bool = False
    recordings: str | Sequence[str] | None = None

    def __post_init__(self):
        self.kind = kind_of(self.model)
        check_choice("input", self.input, INPUTS)
        self._check_format()
        self._check_converter()
        self.network = named_network(self.model)
        check_weights(self.network, self.backbone)
        self.sounds, self.folders = read_sounds(self.recordings, self.any_converter)

    def _check_format(self):
        of_path = format_of(self.path)
        if self.format is not None:
            check_choice("format", self.format, FORMATS)
        if self.format not in (None, of_path):
            suffix = FORMATS[self.format].suffix or "no suffix"
            raise ValueError(
                f"`path` must end in {suffix} for {self.format}. Received: {self.path}"
            )
        self.format = of_path
        if self.quantize and not FORMATS[of_path].quantizes:
            raise ValueError(f"`quantize` is for onnx and litert. Received: format={of_path!r}")
        for path in (self.path, *map(self.path.with_suffix, FORMATS[of_path].beside)):
            if path.exists():
                raise ValueError(f"{path} exists already; delete it or choose another path.")
        check_extra("export", *FORMATS[of_path].packages)

    def _check_converter(self):
        preprocessor = getattr(self.model, "preprocessor", None)
        if self.converter is None and preprocessor is not None:
            self.converter = preprocessor.audio_converter
        if self.converter is None and self.input == "waveform":
            raise ValueError(
                "`converter` must be given for waveforms where the model has no preprocessor; or "
                'let `input` be "spectrogram".'
            )
        shape = self.backbone.spectrogram_shape
        if self.converter is not None:
            check_instance("converter", self.converter, ASiTAudioConverter)
            if self.converter.audio_shape() != shape:
                raise ValueError(
                    f"`converter` must make spectrograms of {shape} (frames, mels). Received one "
                    f"that makes {self.converter.audio_shape()}"
                )
        # What spectrograms are compared on matters little where nobody says how they are made.
        self.any_converter = self.converter or ASiTAudioConverter(16000, *shape)

    @property
    def backbone(self):
        return getattr(self.model, "backbone", self.model)

    def whole_network(self):
        """Return the `keras.Model` that is exported, from one input to named outputs."""
        if self.input == "spectrogram":
            return self.network
        waveforms = keras.Input((None,), name="waveforms")
        return keras.Model(waveforms, self.network(self.converter(waveforms)))

    def exact_layers(self):
        """Return the names of layers that stay in floating point where others are quantized.

        Powers of a spectrum span ten orders of magnitude, poolings have weights of their own kind.
        """
        layers = [layer for layer in self.network.layers if isinstance(layer, TokenPooling)]
        layers += [self.converter.filterbank] if self.converter else []
        return [layer.name for layer in layers]

    def metadata(self):
        """Return what a user of the file needs to know, as JSON takes it."""
        metadata = {
            "kind": self.kind,
            "input": f"{self.input}s",
            "outputs": {name: list(x.shape) for name, x in self.network.output.items()},
            "class_names": getattr(self.model, "class_names", None),
            "probabilities_by": probabilities_by(self.model),
            "spectrogram_shape": list(self.backbone.spectrogram_shape),
            "quantized": "int8" if self.quantize else None,
        }
        if self.kind == "detector":
            metadata["seconds_per_step"] = self.model.window_seconds / self.model.num_steps
            metadata |= {n: getattr(self.model, n) for n in ("thresholds", "median_steps")}
        if self.converter is not None:
            names = ("sample_rate", "mean", "standard_deviation")
            metadata |= {name: getattr(self.converter, name) for name in names}
            metadata["window_samples"] = round(self.converter.seconds * self.converter.sample_rate)
            metadata["shortest_samples"] = self.converter.filterbank.window
            metadata["length"] = "any from the shortest on; what exceeds the window is cut off"
        return metadata

    def keep(self, written):
        """Compare what was written with Keras, and move it to its place; return the report."""
        both = compare(self.network, ExportedModel(written), self.any_converter, self.sounds)
        files = sorted(written.parent.iterdir())
        report = {"path": str(self.path), "bytes": sum(map(_bytes_of, files))}
        report |= {"sounds": len(self.sounds), **differences(self.kind, *both)}
        if not self.quantize and not is_close(*both, TOLERANCE):
            raise RuntimeError(
                f"The outputs of {self.format} are not those of Keras, but differ by up to "
                f"{report['difference']:.2g}, more than {TOLERANCE:g} (of the largest value where "
                f"that exceeds 1). There is no {self.path}."
            )
        # Weights of OpenVINO (.bin) are there before what refers to them (.xml).
        for file in files:
            os.replace(file, self.path.parent / file.name)
        if self.kind == "classifier":
            report |= accuracies(*both, self.folders, self.model.class_names)
        return report


def export_together(exports: Sequence[Export]) -> list[dict]:
    """Return the reports of several exports, which one process writes."""
    with contextlib.ExitStack() as stack:
        networks, jobs = {}, []
        for each in exports:
            prefix, parent = f".{each.path.name}.", each.path.parent
            parent.mkdir(parents=True, exist_ok=True)
            work = tempfile.TemporaryDirectory(prefix=prefix, suffix=PARTIAL, dir=parent)
            folder = Path(stack.enter_context(work))
            identity = (id(each.model), each.input)
            if identity not in networks:
                networks[identity] = str(folder / "network.keras")
                each.whole_network().save(networks[identity])
            (folder / "written").mkdir()
            path = str(folder / "written" / each.path.name)
            job = {"network": networks[identity], "path": path, "metadata": each.metadata()}
            exact = each.exact_layers() if each.quantize else None
            jobs.append({**job, "format": each.format, "exact": exact})
        _write(jobs, folder / "jobs.json")
        return [each.keep(Path(job["path"])) for each, job in zip(exports, jobs)]


def _write(jobs, path):
    """Run the program that writes; it needs no GPU, which this process may have to itself."""
    path.write_text(json.dumps(jobs), encoding="utf-8")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-m", "keras_asit.exporting.writing", str(path)]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace"
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"The model could not be converted: {last}")


def kind_of(model):
    """Return what a model is: `"backbone"`, `"classifier"`, `"tagger"` or `"detector"`."""
    if isinstance(model, ASiTBackbone):
        return "backbone"
    if isinstance(model, ASiTEventDetector):
        return "detector"
    if isinstance(model, ASiTAudioClassifier):
        return "tagger" if model.multi_label else "classifier"
    raise ValueError(
        "`model` must be an ASiTBackbone, ASiTAudioClassifier or ASiTEventDetector. Received: "
        f"{type(model).__name__}"
    )


def named_network(model):
    """Return a model as a plain `keras.Model`, from spectrograms to a dict of named outputs."""
    if isinstance(model, ASiTBackbone):
        outputs = {"tokens": model.output, "embedding": model.feature_model().output}
    elif isinstance(model, ASiTAudioClassifier):
        name = "logits" if probabilities_by(model) else "probabilities"
        outputs = {name: model.output}
    else:
        outputs = model.output
    return keras.Model(model.input, outputs)


def probabilities_by(model):
    """Return the function that makes outputs probabilities, or `None` where there is none."""
    if isinstance(model, ASiTEventDetector):
        return "sigmoid"
    if not isinstance(model, ASiTAudioClassifier) or model.outputs_are_probabilities:
        return None
    return "sigmoid" if model.is_binary else "softmax"


def check_weights(network, backbone):
    """Raise `ValueError` unless a network has finite weights, and computes with them in float32."""
    dtypes = {layer.compute_dtype for layer in (*network.layers, *backbone.layers)}
    dtypes |= {keras.backend.standardize_dtype(weight.dtype) for weight in network.weights}
    if dtypes != {"float32"}:
        raise ValueError(
            'The model must be in float32: load it with `dtype="float32"`, or export it before its '
            f"`quantize` is called. Received: {', '.join(sorted(dtypes))}"
        )
    wrong = [each.path for each in network.weights if not keras.ops.all(keras.ops.isfinite(each))]
    if wrong:
        raise ValueError(
            "The model must have finite weights; load one from before its training failed. Not "
            f"finite are: {name_some(wrong)}"
        )


def _bytes_of(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
