"""Names and shapes of PyTorch's weights against those of keras_asit."""

import numpy as np
from keras import ops


class Entry:
    """A variable, and how PyTorch stores it: its shape there, and the axes that lead to ours.

    Args:
        variable: a Keras variable.
        shape: tuple of ints. The shape in PyTorch.
        axes: tuple of ints. PyTorch's array transposed by these, reshaped, is Keras's.
            Defaults to `None`, no transposition.
    """

    def __init__(self, variable, shape, axes=None):
        self.variable = variable
        self.shape = tuple(shape)
        self.axes = tuple(range(len(shape))) if axes is None else axes

    def assign(self, value):
        """Assign an array in PyTorch's layout."""
        self.variable.assign(np.transpose(value, self.axes).reshape(self.variable.shape))

    def read(self):
        """Return the value as an array in PyTorch's layout."""
        value = ops.convert_to_numpy(ops.cast(self.variable, "float32"))
        value = value.reshape([self.shape[axis] for axis in self.axes])
        return np.ascontiguousarray(np.transpose(value, np.argsort(self.axes)))


def backbone_entries(backbone):
    """Return {PyTorch name: Entry} of an `ASiTBackbone`, in the original's order."""
    embedding = backbone.patch_embedding
    width = backbone.hidden_dim
    entries = {
        "cls_token": Entry(embedding.class_token, embedding.class_token.shape),
        "pos_embed": Entry(embedding.position_embedding, embedding.position_embedding.shape),
        "patch_embed.proj.weight": Entry(
            embedding.kernel, (width, 1, *backbone.patch_size), (2, 3, 1, 0)
        ),
        "patch_embed.proj.bias": Entry(embedding.bias, (width,)),
    }
    for index, block in enumerate(backbone.transformer_blocks):
        prefix = f"blocks.{index}"
        entries |= _norm_entries(f"{prefix}.norm1", block.attention_norm)
        entries |= dense_entries(f"{prefix}.attn.qkv", block.query_key_value)
        entries |= dense_entries(f"{prefix}.attn.proj", block.attention_output)
        entries |= _norm_entries(f"{prefix}.norm2", block.mlp_norm)
        entries |= dense_entries(f"{prefix}.mlp.fc1", block.mlp.dense_layers[0])
        entries |= dense_entries(f"{prefix}.mlp.fc2", block.mlp.dense_layers[1])
    return entries | _norm_entries("norm", backbone.norm)


def head_entries(network):
    """Return {PyTorch name: Entry} of both heads of a student or teacher."""
    projection, reconstruction = network.projection_head, network.reconstruction_head
    shared = projection.num_patch_prototypes is None
    name = "head" if shared else "head_cls"
    entries = _mlp_entries(f"{name}.mlp", projection.mlp)
    if shared:
        entries |= _prototype_entries(f"{name}.last_layer", projection.class_prototypes)
    else:
        entries |= _prototype_entries(f"{name}.cls_layer", projection.class_prototypes)
        entries |= _prototype_entries(f"{name}.data_layer", projection.patch_prototypes)
    entries |= _mlp_entries("head_recons.mlp", reconstruction.mlp)
    bottleneck, *patch_size = reconstruction.kernel.shape
    return entries | {
        "head_recons.convTrans.weight": Entry(reconstruction.kernel, (bottleneck, 1, *patch_size)),
        "head_recons.convTrans.bias": Entry(reconstruction.bias, (1,)),
    }


def assign_all(entries, state, path):
    """Assign the arrays of a state dict to the entries of the same names.

    Raises:
        ValueError: naming what is missing, surplus or of another shape; nothing is assigned then.
    """
    problems = [f"{name} is missing" for name in entries if name not in state]
    problems += [f"{name} is surplus" for name in state if name not in entries]
    for name in entries.keys() & state.keys():
        if tuple(state[name].shape) != entries[name].shape:
            problems.append(
                f"{name} has shape {tuple(state[name].shape)} instead of {entries[name].shape}"
            )
    if problems:
        raise ValueError(f"The weights in {path} do not fit: {'; '.join(sorted(problems))}.")
    for name, entry in entries.items():
        entry.assign(np.asarray(state[name]))


def dense_entries(name, layer):
    """Return {PyTorch name: Entry} of a dense layer."""
    inputs, outputs = layer.kernel.shape
    return {
        f"{name}.weight": Entry(layer.kernel, (outputs, inputs), (1, 0)),
        f"{name}.bias": Entry(layer.bias, (outputs,)),
    }


def _norm_entries(name, layer):
    return {
        f"{name}.weight": Entry(layer.gamma, layer.gamma.shape),
        f"{name}.bias": Entry(layer.beta, layer.beta.shape),
    }


def _mlp_entries(name, mlp):
    # The odd numbers are the activations.
    entries = {}
    for index, layer in enumerate(mlp.dense_layers):
        entries |= dense_entries(f"{name}.{2 * index}", layer)
    return entries


def _prototype_entries(name, prototypes):
    inputs, outputs = prototypes.direction.shape
    entries = {f"{name}.weight_v": Entry(prototypes.direction, (outputs, inputs), (1, 0))}
    if prototypes.gain is not None:
        entries[f"{name}.weight_g"] = Entry(prototypes.gain, (outputs, 1))
    return entries
