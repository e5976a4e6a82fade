"""What must hold for every layer, backbone and task, to be run with an example of each."""

import json
import tempfile
from pathlib import Path

import keras
import keras_hub
import numpy as np
from keras import ops

HALF_PRECISION = ("mixed_bfloat16", "mixed_float16")


def to_numpy(outputs):
    """Return the tensors of a nested structure as NumPy arrays of float32."""
    return keras.tree.map_structure(lambda x: ops.convert_to_numpy(ops.cast(x, "float32")), outputs)


def assert_close(actual, expected, atol):
    """Assert that two nested structures of as many tensors agree within `atol`.

    Containers may differ: models return lists for tuples.
    """
    actual = keras.tree.pack_sequence_as(expected, keras.tree.flatten(actual))
    keras.tree.map_structure(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=atol),
        to_numpy(actual),
        to_numpy(expected),
    )


def assert_config_round_trip(original):
    """Assert that the config of a layer or model builds one of the same config, as JSON too."""
    config = original.get_config()
    assert type(original).from_config(config).get_config() == config
    serialized = keras.saving.serialize_keras_object(original)
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(serialized)))
    assert keras.saving.serialize_keras_object(copy) == serialized


def run_layer_test(
    layer_class,
    init_kwargs,
    input_data,
    *,
    expected_output_shape=None,
    atol=1e-6,
    half_precision_atol=0.01,
):
    """Run what must hold for every layer that, outside of training, is deterministic.

    Its config round trips; a functional model of it infers `compute_output_shape` for a batch of
    any size, computes what the layer does, and so does the model saved and loaded; half
    precision with equal weights is finite and near.

    Args:
        layer_class: the class.
        init_kwargs: dict of arguments to build it with.
        input_data: array to call it with.
        expected_output_shape: a shape, or several in the structure of the outputs. Defaults to
            `None`, the one that `compute_output_shape` gives.
        atol: float. Tolerance between the layer, its model, and the model loaded.
        half_precision_atol: float. Tolerance of half precision; `None` for a layer that computes
            in float32 whatever its policy.
    """
    layer = layer_class(**init_kwargs)
    assert_config_round_trip(layer)
    expected = to_numpy(layer(input_data))
    if expected_output_shape is None:
        expected_output_shape = layer.compute_output_shape(input_data.shape)
    assert _shapes(expected) == _leaves(expected_output_shape)

    inputs = keras.Input(input_data.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    unknown_batch = [(None, *shape[1:]) for shape in _shapes(expected)]
    assert _shapes(model.output) == unknown_batch
    assert _leaves(layer.compute_output_shape((None, *input_data.shape[1:]))) == unknown_batch
    assert_close(model.predict(input_data, verbose=0), expected, atol)
    assert_close(_saved_and_loaded(model)(input_data), expected, atol)

    if half_precision_atol is not None:
        for policy in HALF_PRECISION:
            half = layer_class(**{**init_kwargs, "dtype": policy})
            half(input_data)
            half.set_weights(layer.get_weights())
            assert_half_precision(half(input_data), expected, policy, half_precision_atol)


def run_backbone_test(
    backbone_class, init_kwargs, input_data, *, expected_output_shape, half_precision_atol=0.1
):
    """Run what must hold for every backbone.

    Its config round trips; it takes a batch of any size; saved as a Keras file or a preset, and
    loaded by its class or by KerasHub's, it computes bit for bit the same; half precision with
    equal weights is finite and near.

    Args:
        backbone_class: the class.
        init_kwargs: dict of arguments to build it with.
        input_data: array to call it with.
        expected_output_shape: the shape that this gives.
        half_precision_atol: float. Tolerance of half precision.
    """
    backbone = backbone_class(**init_kwargs)
    assert_config_round_trip(backbone)
    expected = to_numpy(backbone(input_data))
    assert expected.shape == tuple(expected_output_shape)
    assert backbone.input_shape == (None, *input_data.shape[1:])
    assert backbone.output_shape == (None, *expected_output_shape[1:])

    with tempfile.TemporaryDirectory() as folder:
        backbone.save_to_preset(folder)
        copies = [cls.from_preset(folder) for cls in (backbone_class, keras_hub.models.Backbone)]
        reduced = backbone_class.from_preset(folder, dtype="bfloat16")
    for copy in (*copies, _saved_and_loaded(backbone)):
        assert isinstance(copy, backbone_class)
        assert copy.get_config() == backbone.get_config()
        for actual, weight in zip(copy.get_weights(), backbone.get_weights(), strict=True):
            np.testing.assert_array_equal(actual, weight)
        assert_close(copy(input_data), expected, atol=0)
    assert_half_precision(reduced(input_data), expected, "bfloat16", half_precision_atol)
    for policy in HALF_PRECISION:
        half = backbone_class(**{**init_kwargs, "dtype": policy})
        half.set_weights(backbone.get_weights())
        assert_half_precision(half(input_data), expected, policy, half_precision_atol)


def run_task_test(task_class, init_kwargs, input_data, *, half_precision_atol=0.1):
    """Run what must hold for every task; `predict` tells what it computes.

    Its config round trips; saved as a Keras file or a preset, and loaded, it predicts bit for
    bit the same; its preset loads as a backbone too; on a backbone of half precision with equal
    weights, predictions are finite and near.

    Args:
        task_class: the class.
        init_kwargs: dict of arguments to build it with, among them `"backbone"`.
        input_data: what `predict` takes, waveforms or spectrograms.
        half_precision_atol: float. Tolerance of half precision.
    """
    task = task_class(**init_kwargs)
    assert_config_round_trip(task)
    expected = task.predict(input_data, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        task.save_to_preset(folder)
        from_preset = task_class.from_preset(folder)
        backbone = keras_hub.models.Backbone.from_preset(folder)
    assert isinstance(backbone, type(task.backbone))
    for copy in (from_preset, _saved_and_loaded(task)):
        assert isinstance(copy, task_class)
        assert keras.saving.serialize_keras_object(copy.preprocessor) == (
            keras.saving.serialize_keras_object(task.preprocessor)
        )
        assert_close(copy.predict(input_data, verbose=0), expected, atol=0)
    config = task.backbone.get_config()
    for policy in HALF_PRECISION:
        backbone = type(task.backbone).from_config({**config, "dtype": policy})
        half = task_class(**{**init_kwargs, "backbone": backbone})
        half.set_weights(task.get_weights())
        outputs = half.predict(input_data, verbose=0)
        assert_half_precision(outputs, expected, None, half_precision_atol)


def assert_half_precision(outputs, expected, policy, atol):
    """Assert that outputs are finite, of the policy's type (if given) and near to `expected`."""
    for output in keras.tree.flatten(outputs):
        dtype = keras.backend.standardize_dtype(output.dtype)
        assert policy is None or dtype == policy.removeprefix("mixed_")
        assert np.all(np.isfinite(to_numpy(output)))
    assert_close(outputs, expected, atol)


def _saved_and_loaded(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        return keras.saving.load_model(Path(folder) / "model.keras")


def _shapes(outputs):
    return [tuple(output.shape) for output in keras.tree.flatten(outputs)]


def _leaves(shapes):
    """Return shapes, one or a structure of them, as a list."""
    if isinstance(shapes, tuple) and (not shapes or not isinstance(shapes[0], tuple)):
        return [shapes]
    return [shape for part in shapes for shape in _leaves(part)]
