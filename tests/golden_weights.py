"""Weights of the original PyTorch code's small reference model, put into keras_asit's."""

from keras_asit.conversion.weight_names import network_weights


def load_network(network, weights, prefix):
    """Assign the reference weights named `prefix` + original name to an ASiTNetwork."""
    for name, weight in network_weights(network).items():
        value = weights[prefix + name]
        assert value.shape == weight.shape, name
        weight.assign(value)


def read_network(network):
    """Return {original name: value in the original's arrangement} of an ASiTNetwork."""
    return {name: weight.read() for name, weight in network_weights(network).items()}
