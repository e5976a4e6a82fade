"""The reference model: its sizes, and its weights from `tests/golden/trajectory.npz`."""

from keras_asit.conversion.weight_names import network_weights
from keras_asit.models import ASiTBackbone, ASiTPretrainer


def build_reference_pretrainer(trajectory):
    """Return a pretrainer of the reference's size with its weights before the first step."""
    backbone = ASiTBackbone(
        spectrogram_shape=(64, 32), num_layers=3, num_heads=3, hidden_dim=24, mlp_dim=96
    )
    pretrainer = ASiTPretrainer(
        backbone,
        num_class_prototypes=40,
        num_patch_prototypes=24,
        projection_hidden_dim=48,
        projection_bottleneck_dim=16,
        reconstruction_hidden_dim=32,
        reconstruction_bottleneck_dim=12,
    )
    load_network(pretrainer.student, trajectory, "init/")
    pretrainer.reset_teacher()
    return pretrainer


def load_network(network, weights, prefix):
    """Assign the reference weights named `prefix` + original name to an ASiTNetwork."""
    for name, weight in network_weights(network).items():
        value = weights[prefix + name]
        assert value.shape == weight.shape, name
        weight.assign(value)


def read_network(network):
    """Return {original name: value in the original's arrangement} of an ASiTNetwork."""
    return {name: weight.read() for name, weight in network_weights(network).items()}
