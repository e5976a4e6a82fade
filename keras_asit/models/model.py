"""What every model adds to Keras's training, and to its files."""

import keras

from keras_asit.models.steps import Steps


class ASiTModel(Steps):
    """Save how a model was compiled, and its random generators; a base to be put before a model.

    Keras saves what `jit_compile="auto"` amounts to under its
    backend, which another may fail at, and no states of random generators, so that a loaded model
    would repeat its old masks.
    """

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
