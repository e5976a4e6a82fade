"""What must hold for every layer, to be called with an example of it and of its input."""

import keras
import numpy as np
from keras import ops


def to_numpy(outputs):
    """Return the tensors of a nested structure as NumPy arrays of float32."""
    return keras.tree.map_structure(lambda x: ops.convert_to_numpy(ops.cast(x, "float32")), outputs)


def assert_close(actual, expected, atol):
    """Assert that two nested structures of tensors agree within `atol`."""
    keras.tree.map_structure(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=atol),
        to_numpy(actual),
        to_numpy(expected),
    )


def assert_config_round_trip(layer):
    """Assert that a layer's config builds a layer of the same config, also through JSON."""
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config
    serialized = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(serialized)
    assert keras.saving.serialize_keras_object(copy) == serialized


def build_functional_model(layer, inputs):
    """Return a functional model of the layer alone, its batch size unknown."""
    symbolic = keras.Input(inputs.shape[1:])
    return keras.Model(symbolic, layer(symbolic))


def assert_works_in_functional_model(layer, inputs, tmp_path, atol=1e-6):
    """Assert that a functional model infers the shapes, computes and saves what the layer does.

    The layer must be deterministic. Its output shapes are those of `compute_output_shape`.
    """
    expected = to_numpy(layer(inputs))
    model = build_functional_model(layer, inputs)
    unknown_batch = keras.tree.map_structure(lambda x: (None, *x.shape[1:]), expected)
    inferred = keras.tree.map_structure(lambda x: tuple(x.shape), model.output)
    assert _leaves(inferred) == _leaves(unknown_batch)
    assert _leaves(layer.compute_output_shape((None, *inputs.shape[1:]))) == _leaves(unknown_batch)

    assert_close(_like(expected, model.predict(inputs, verbose=0)), expected, atol)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(_like(expected, loaded(inputs)), expected, atol)


def assert_near_in_half_precision(make_layer, inputs, atol):
    """Assert that `make_layer(dtype)` with equal weights is finite and near in half precision."""
    layer = make_layer("float32")
    expected = to_numpy(layer(inputs))
    for policy in ("mixed_bfloat16", "mixed_float16"):
        half = make_layer(policy)
        outputs = half(inputs)
        half.set_weights(layer.get_weights())
        outputs = half(inputs)
        for output in keras.tree.flatten(outputs):
            assert keras.backend.standardize_dtype(output.dtype) == half.compute_dtype
            assert np.all(np.isfinite(to_numpy(output)))
        assert_close(_like(expected, outputs), expected, atol)


def _leaves(shapes):
    """Return shapes, one or a structure of them, as a list."""
    if isinstance(shapes, tuple) and (not shapes or not isinstance(shapes[0], tuple)):
        return [shapes]
    return [shape for part in shapes for shape in _leaves(part)]


def _like(structure, outputs):
    """Return `outputs` in the containers of `structure`: models return lists for tuples."""
    return keras.tree.pack_sequence_as(structure, keras.tree.flatten(outputs))
