"""A program that writes saved networks in other formats; it runs under TensorFlow.

Its one argument is the path of a JSON file: a list of the arguments of `convert`.
"""

import functools
import json
import sys
import tempfile

import keras
import tensorflow as tf

from keras_asit.exporting.formats import ENDPOINT, FORMATS
from keras_asit.models import ASiTAudioConverter


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)
    with tempfile.TemporaryDirectory() as folder:
        traced = functools.cache(functools.partial(trace, folder))
        for job in jobs:
            convert(traced(job["network"]), job)


def trace(folder, network):
    """Write a network, saved by Keras, as a SavedModel; return where it is."""
    model = keras.saving.load_model(network, compile=False)
    for layer in model.layers:
        if isinstance(layer, ASiTAudioConverter):
            layer.filterbank.transforms_by_matrix = True
    saved_model = tempfile.mkdtemp(dir=folder)
    (inputs,) = model.inputs
    signature = tf.TensorSpec(inputs.shape, tf.float32, name=inputs.name)
    # Keras's own `export` would write the weights twice.
    module = tf.Module()
    module.serve = tf.function(functools.partial(model, training=False), [signature])
    module.weights = [variable.value for variable in model.variables]
    signatures = dict.fromkeys((ENDPOINT, "serving_default"), module.serve)
    tf.saved_model.save(module, saved_model, signatures)
    return saved_model


def convert(saved_model, job):
    arguments = job["path"], job["metadata"], job["exact"]
    FORMATS[job["format"]].write(saved_model, *arguments)


if __name__ == "__main__":
    main()
