"""The random generators that Keras draws from without a variable of its own."""

import keras


def global_generators():
    """Return the states of PyTorch's generators as lists of bytes; none on other backends.

    Keras's dropout draws from them under PyTorch, whatever its seed.
    """
    if keras.config.backend() != "torch":
        return []
    import torch

    return [state.tolist() for state in (torch.get_rng_state(), *torch.cuda.get_rng_state_all())]


def set_global_generators(states):
    """Set what `global_generators` returned."""
    if not states:
        return
    import torch

    generator, *devices = (torch.tensor(state, dtype=torch.uint8) for state in states)
    torch.set_rng_state(generator)
    torch.cuda.set_rng_state_all(devices)
