"""Steps of training and evaluation that wait for their data."""

import contextlib

import keras


class StepsOnData:
    """Run no step of TensorFlow's in vain; a base to be put before a model."""

    def train_step(self, *args):
        with when_ready(args):
            return super().train_step(*args)

    def test_step(self, *args):
        with when_ready(args):
            return super().test_step(*args)


def when_ready(data):
    """Return a context in which TensorFlow runs nothing before it has `data`.

    At the end of the data its graph asks for one more batch, in vain; but what needs no batch
    (counters, random generators) would run once more all the same.
    """
    if keras.config.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    tensors = [tensor for tensor in tf.nest.flatten(data) if tensor is not None]
    return tf.control_dependencies(tensors)
