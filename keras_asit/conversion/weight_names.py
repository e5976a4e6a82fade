"""Names and shapes of PyTorch's weights against those of keras_asit."""

import re

import numpy as np
from keras import ops

# Names in the library transformers and those in timm, which are the original's, in the order of
# their replacement. The names of versions before 5 and since then do not collide.
TRANSFORMERS_NAMES = (
    (r"embeddings\.(cls_token)", r"\1"),
    (r"embeddings\.distillation_token", "dist_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"(?:encoder\.layer|layers)\.(\d+)", r"blocks.\1"),
    (r"attention\.(?:output\.dense|o_proj)", "attn.proj"),
    (r"attention\.(?:attention\.)?(query|key|value|[qkv]_proj)", r"attn.\1"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    (r"^layernorm", "norm"),
    (r"^(?:cls_classifier|classifier)\.", "head."),
    (r"^distillation_classifier\.", "head_dist."),
)


class Weight:
    """A variable and how PyTorch stores it: as an array of `shape`, Keras's once transposed."""

    def __init__(self, variable, axes=None, shape=None):
        self.variable = variable
        self.axes = tuple(range(len(variable.shape))) if axes is None else axes
        self._transposed = tuple(variable.shape[axis] for axis in np.argsort(self.axes))
        self.shape = shape or self._transposed

    def assign(self, value):
        """Assign an array in PyTorch's arrangement."""
        self.variable.assign(np.transpose(np.reshape(value, self._transposed), self.axes))

    def read(self):
        """Return the value as an array of float32 in PyTorch's arrangement."""
        value = ops.convert_to_numpy(ops.cast(self.variable, "float32"))
        value = np.transpose(value, np.argsort(self.axes)).reshape(self.shape)
        return np.array(value, order="C")


def backbone_weights(backbone):
    """Return {PyTorch name: Weight} of an `ASiTBackbone`, in the original's order."""
    embedding = backbone.patch_embedding
    weights = {
        "cls_token": Weight(embedding.class_token),
        "pos_embed": Weight(embedding.position_embedding),
        "patch_embed.proj.weight": Weight(embedding.kernel, (2, 3, 1, 0)),
        "patch_embed.proj.bias": Weight(embedding.bias),
    }
    for index, block in enumerate(backbone.transformer_blocks):
        prefix = f"blocks.{index}"
        weights |= _norm_weights(f"{prefix}.norm1", block.attention_norm)
        weights |= dense_weights(f"{prefix}.attn.qkv", block.query_key_value)
        weights |= dense_weights(f"{prefix}.attn.proj", block.attention_output)
        weights |= _norm_weights(f"{prefix}.norm2", block.mlp_norm)
        weights |= dense_weights(f"{prefix}.mlp.fc1", block.mlp.dense_layers[0])
        weights |= dense_weights(f"{prefix}.mlp.fc2", block.mlp.dense_layers[1])
    return weights | _norm_weights("norm", backbone.norm)


def timm_names(state):
    """Return the weights of a vision transformer of the library transformers by timm's names.

    A state dict with other names is returned as it is.
    """
    are_names = isinstance(state, dict) and all(isinstance(name, str) for name in state)
    if not are_names or not any(name.endswith("embeddings.cls_token") for name in state):
        return state
    renamed = {}
    for name, value in state.items():
        name = name.removeprefix("deit.").removeprefix("vit.")
        for pattern, replacement in TRANSFORMERS_NAMES:
            name = re.sub(pattern, replacement, name)
        # These stand on the backbone, or are for training of another kind.
        if not name.startswith(("pooler.", "embeddings.mask_token")):
            renamed[name] = value
    return _fuse(renamed)


def _fuse(state):
    """Return a state dict in which query, key and value of a block are one matrix."""
    fused = {}
    for name, value in state.items():
        match = re.fullmatch(r"(blocks\.\d+\.attn)\.(query|key|value|[qkv]_proj)\.(\w+)", name)
        if match is None:
            fused[name] = value
            continue
        block, _, kind = match.groups()
        parts = fused.setdefault(f"{block}.qkv.{kind}", {})
        parts[match[2][0]] = np.asarray(value)
    return {
        name: np.concatenate([value[part] for part in "qkv" if part in value])
        if isinstance(value, dict)
        else value
        for name, value in fused.items()
    }


def network_weights(network):
    """Return {PyTorch name: Weight} of a student or teacher, heads included."""
    backbone = backbone_weights(network.backbone).items()
    weights = {f"backbone.{name}": weight for name, weight in backbone}
    projection, reconstruction = network.projection_head, network.reconstruction_head
    prototypes, patch_prototypes = projection.class_prototypes, projection.patch_prototypes
    if projection.num_patch_prototypes is None:
        head, layers = "head", {"last_layer": prototypes}
    else:
        head, layers = "head_cls", {"cls_layer": prototypes, "data_layer": patch_prototypes}
    weights |= _mlp_weights(f"{head}.mlp", projection.mlp)
    for name, layer in layers.items():
        weights |= _prototype_weights(f"{head}.{name}", layer)
    weights |= _mlp_weights("head_recons.mlp", reconstruction.mlp)
    bottleneck, *patch_size = reconstruction.kernel.shape
    kernel = Weight(reconstruction.kernel, shape=(bottleneck, 1, *patch_size))
    bias = Weight(reconstruction.bias, shape=(1,))
    return weights | {"head_recons.convTrans.weight": kernel, "head_recons.convTrans.bias": bias}


def dense_weights(name, layer):
    """Return {PyTorch name: Weight} of a dense layer."""
    return {f"{name}.weight": Weight(layer.kernel, (1, 0)), f"{name}.bias": Weight(layer.bias)}


def assign_all(weights, state, path):
    """Assign arrays of a state dict to the weights of the same names; none, unless all fit."""
    problems = [f"{name} is missing" for name in weights if name not in state]
    problems += [f"{name} is surplus" for name in state if name not in weights]
    for name in weights.keys() & state.keys():
        if tuple(state[name].shape) != weights[name].shape:
            problems.append(
                f"{name} has shape {tuple(state[name].shape)} instead of {weights[name].shape}"
            )
    if problems:
        raise ValueError(f"The weights in {path} do not fit: {'; '.join(sorted(problems))}.")
    for name, weight in weights.items():
        weight.assign(np.asarray(state[name]))


def _norm_weights(name, layer):
    return {f"{name}.weight": Weight(layer.gamma), f"{name}.bias": Weight(layer.beta)}


def _mlp_weights(name, mlp):
    # The odd numbers are the activations.
    weights = {}
    for index, layer in enumerate(mlp.dense_layers):
        weights |= dense_weights(f"{name}.{2 * index}", layer)
    return weights


def _prototype_weights(name, prototypes):
    weights = {f"{name}.weight_v": Weight(prototypes.direction, (1, 0))}
    if prototypes.gain is not None:
        weights[f"{name}.weight_g"] = Weight(prototypes.gain, shape=(prototypes.gain.shape[0], 1))
    return weights
