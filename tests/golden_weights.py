"""Weights of the original PyTorch code's small reference model, put into keras_asit's."""

from keras_asit.conversion.weight_names import backbone_entries, head_entries


def load_network(network, weights, prefix):
    """Assign the reference weights named `prefix` + original name to an ASiTNetwork."""
    for name, entry in _entries(network).items():
        value = weights[prefix + name]
        assert value.shape == entry.shape, name
        entry.assign(value)


def read_network(network):
    """Return {original name: value in the original's layout} of an ASiTNetwork."""
    return {name: entry.read() for name, entry in _entries(network).items()}


def _entries(network):
    backbone = backbone_entries(network.backbone).items()
    return {f"backbone.{name}": entry for name, entry in backbone} | head_entries(network)
