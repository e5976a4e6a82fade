"""Trained networks in the formats of other runtimes: TensorFlow's, ONNX, OpenVINO, LiteRT."""

from keras_asit.exporting.exports import export
from keras_asit.exporting.formats import ExportedModel

__all__ = ["ExportedModel", "export"]
