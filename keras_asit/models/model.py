"""What every model adds to Keras's training, and to its files."""

import contextlib

import keras


class ASiTModel:
    """Save how a model was compiled, and its random generators; run no step in vain.

    A base to be put before a model. Keras saves what `jit_compile="auto"` amounts to under its
    backend, which another may fail at, and no states of random generators, so that a loaded model
    would repeat its old masks.
    """

    def train_step(self, *args):
        with when_ready(args):
            return super().train_step(*args)

    def test_step(self, *args):
        with when_ready(args):
            return super().test_step(*args)

    def compile(self, *args, jit_compile="auto", **kwargs):
        super().compile(*args, jit_compile=jit_compile, **kwargs)
        self._given_jit_compile = jit_compile

    def get_compile_config(self):
        config = super().get_compile_config() or {}
        return {**config, "jit_compile": self._given_jit_compile} if config else config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for index, state in enumerate(self._seed_states()):
            store[f"seed_{index}"] = state

    def load_own_variables(self, store):
        # The stores of weight files have keys, but can be neither iterated nor unpacked.
        saved = list(store.keys())
        names = [name for name in saved if not name.startswith("seed_")]
        super().load_own_variables({name: store[name] for name in names})
        # Without stochastic depth there are fewer than with it; what is not there stays as it is.
        for index, state in enumerate(self._seed_states()):
            if f"seed_{index}" in saved:
                state.assign(store[f"seed_{index}"])

    def _seed_states(self):
        return [state for state in self.variables if state.name == "seed_generator_state"]


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
