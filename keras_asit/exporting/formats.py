"""The formats of exports: how each is written from TensorFlow's, and opened by its own runtime.

A format has the suffix of its path, and those of what is written beside; packages to write and open
it; `write`, which makes it of the folder of a SavedModel; and `open`, which returns a function of a
batch, and the metadata. What is to be quantized comes with `exact`, the names of the layers in it
that stay in floating point; of other exports that is `None`.
"""

import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np

from keras_asit._arguments import check_integers
from keras_asit._extras import check_extra

# The name of the metadata in every file, and of the function in those that hold several.
METADATA = "keras_asit"
ENDPOINT = "serve"


class SavedModel:
    """A folder that TensorFlow and TensorFlow Serving load."""

    suffix = ""
    beside = ()
    packages = ("tensorflow",)
    quantizes = False

    @staticmethod
    def write(saved_model, path, metadata, exact):
        shutil.copytree(saved_model, path)
        extra = Path(path, "assets.extra")
        extra.mkdir()
        (extra / f"{METADATA}.json").write_text(json.dumps(metadata), encoding="utf-8")

    @staticmethod
    def open(path, num_threads):
        import tensorflow as tf

        loaded = tf.saved_model.load(str(path))
        metadata = Path(path, "assets.extra", f"{METADATA}.json").read_text(encoding="utf-8")

        def run(batch):
            return {name: value.numpy() for name, value in loaded.serve(batch).items()}

        return run, json.loads(metadata)


class Onnx:
    """A file of the operators of ONNX, of their version 18."""

    suffix = ".onnx"
    beside = ()
    packages = ("onnx", "onnxruntime", "tf2onnx")
    quantizes = True

    @staticmethod
    def write(saved_model, path, metadata, exact):
        import onnx
        import tensorflow as tf
        import tf2onnx
        from onnxruntime.quantization import quantize_dynamic

        loaded = tf.saved_model.load(saved_model)
        (signature,) = loaded.signatures[ENDPOINT].structured_input_signature[1].values()
        model, _ = tf2onnx.convert.from_function(
            tf.function(loaded.serve, [signature]),
            [signature],
            opset=18,
            custom_op_handlers={"Erfc": (_erf_for_erfc, [])},
        )
        onnx.helper.set_model_props(model, {METADATA: json.dumps(metadata)})
        onnx.save(model, path)
        if exact is not None:
            names = [node.name for node in model.graph.node]
            quantize_dynamic(
                path,
                path,
                op_types_to_quantize=["MatMul"],
                nodes_to_exclude=[name for name in names if re.fullmatch(_inside(exact), name)],
                per_channel=True,
            )

    @staticmethod
    def open(path, num_threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or 0
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (name,) = [node.name for node in session.get_inputs()]
        outputs = [node.name for node in session.get_outputs()]

        def run(batch):
            return dict(zip(outputs, session.run(outputs, {name: batch})))

        return run, json.loads(session.get_modelmeta().custom_metadata_map[METADATA])


def _erf_for_erfc(context, node, name, arguments):
    """Make 1 - erf(x) of erfc(x), which ONNX does not have."""
    node.type = "Erf"
    one = context.make_const(f"{name}/one", np.float32(1)).output[0]
    difference = context.insert_new_node_on_output("Sub", node.output[0], name=f"{name}/difference")
    context.replace_inputs(difference, [one, node.output[0]])


class OpenVino:
    """A graph (.xml) and, beside it, its weights (.bin)."""

    suffix = ".xml"
    beside = (".bin",)
    packages = ("openvino",)
    quantizes = False

    @staticmethod
    def write(saved_model, path, metadata, exact):
        import openvino

        model = openvino.convert_model(saved_model)
        model.set_rt_info(json.dumps(metadata), [METADATA])
        openvino.save_model(model, path, compress_to_fp16=False)

    @staticmethod
    def open(path, num_threads):
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        metadata = model.get_rt_info([METADATA]).value
        # Processors that can would compute in bfloat16.
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        options |= {"INFERENCE_NUM_THREADS": num_threads} if num_threads else {}
        compiled = core.compile_model(model, "CPU", options)

        def run(batch):
            return {next(iter(key.names)): value for key, value in compiled(batch).items()}

        return run, json.loads(metadata)


class LiteRt:
    """A file of the operators that are built into LiteRT, once TensorFlow Lite."""

    suffix = ".tflite"
    beside = ()
    packages = ("ai_edge_litert", "ai_edge_quantizer")
    quantizes = True

    @staticmethod
    def write(saved_model, path, metadata, exact):
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[ENDPOINT])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        Path(path).write_bytes(converter.convert())
        if exact is not None:
            _quantize_litert(path, exact)
        # The way of TensorFlow Lite's own metadata: the file is an archive as well.
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{METADATA}.json", json.dumps(metadata))

    @staticmethod
    def open(path, num_threads):
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(path, num_threads=num_threads).get_signature_runner(ENDPOINT)
        (name,) = runner.get_input_details()
        with zipfile.ZipFile(path) as archive:
            metadata = archive.read(f"{METADATA}.json")
        return lambda batch: runner(**{name: batch}), json.loads(metadata)


def _inside(layers):
    """Return a regular expression of the names that operators in layers have in a graph.

    They are paths, which Keras numbers and LiteRT joins by semicolons.
    """
    return rf"(.*[/;])?({'|'.join(layers)})(_[0-9]+)*([/;].*)?"


def _quantize_litert(path, exact):
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    dense = qtyping.TFLOperationName.FULLY_CONNECTED
    work = quantizer.Quantizer(path)
    work.add_dynamic_config(".*", dense, num_bits=8)
    keep = algorithm_manager.AlgorithmName.NO_QUANTIZE
    work.update_quantization_recipe(_inside(exact), dense, algorithm_key=keep)
    Path(path).write_bytes(work.quantize().quantized_model)


FORMATS = {
    "tf_saved_model": SavedModel,
    "onnx": Onnx,
    "openvino": OpenVino,
    "litert": LiteRt,
}


class ExportedModel:
    """A model that `keras_asit.export` wrote, in its own runtime, on the processor, in float32.

    Args:
        path: str or `os.PathLike`. What was exported; its suffix tells the format.
        num_threads: int. Threads of the runtime; TensorFlow has those of its process. Defaults to
            `None`, what the runtime chooses.

    Call arguments:
        batch: float array, `(batch, samples)` or `(batch, frames, mels)`.

    Returns:
        A dict of arrays by the names of the outputs; `metadata`, a dict, tells what they are.

    Raises:
        ImportError: if the runtime is not installed.

    Example:
    ```python
    keras_asit.export(classifier, "classifier.tflite")
    exported = keras_asit.exporting.ExportedModel("classifier.tflite")
    logits = exported(waveforms)["logits"]  # (4, 2)
    names = exported.metadata["class_names"]  # ["cat", "dog"]
    ```
    """

    def __init__(self, path, num_threads: int | None = None):
        check_integers(1, or_none=True, num_threads=num_threads)
        kind = FORMATS[format_of(path)]
        if not Path(path).exists():
            raise FileNotFoundError(f"There is no {path}.")
        check_extra("export", *kind.packages)
        self._run, self.metadata = kind.open(str(path), num_threads)

    def __call__(self, batch) -> dict:
        return self._run(np.asarray(batch, "float32"))


def format_of(path) -> str:
    """Return the name of the format of a path, by its suffix."""
    suffix = Path(path).suffix
    for name, kind in FORMATS.items():
        if kind.suffix == suffix:
            return name
    suffixes = ", ".join(f"{kind.suffix or 'none'} ({name})" for name, kind in FORMATS.items())
    raise ValueError(
        f"`path` must have one of the suffixes {suffixes}, in lower case. Received: {path}"
    )
