"""Compilation that is saved so that each backend can load it."""


class PortableCompile:
    """Save `jit_compile="auto"` as it was given; a base to be put before a model.

    Keras saves what it amounts to where the model is saved: under JAX `True`, with which PyTorch
    would compile the model by other means, or fail to.
    """

    def compile(self, *args, jit_compile="auto", **kwargs):
        super().compile(*args, jit_compile=jit_compile, **kwargs)
        self._given_jit_compile = jit_compile

    def get_compile_config(self):
        config = super().get_compile_config() or {}
        return {**config, "jit_compile": self._given_jit_compile} if config else config
