"""Weights of the original PyTorch code's small reference model, put into keras_asit's."""

import numpy as np


def load_network(network, weights, prefix):
    """Assign the reference weights named `prefix` + original name to an ASiTNetwork."""
    for name, (variable, convert) in _variables(network).items():
        value = convert(weights[prefix + name])
        assert value.shape == tuple(variable.shape), name
        variable.assign(value)


def read_network(network):
    """Return {original name: (value in our layout, the function that converts theirs)}."""
    return {
        name: (np.array(variable), convert)
        for name, (variable, convert) in _variables(network).items()
    }


def _variables(network):
    backbone = network.backbone
    embedding = backbone.patch_embedding
    names = {
        "backbone.cls_token": (embedding.class_token, _same),
        "backbone.pos_embed": (embedding.position_embedding, _same),
        "backbone.patch_embed.proj.weight": (embedding.kernel, _convolution),
        "backbone.patch_embed.proj.bias": (embedding.bias, _same),
    }
    for index, block in enumerate(backbone.transformer_blocks):
        prefix = f"backbone.blocks.{index}"
        names |= _norm(f"{prefix}.norm1", block.attention_norm)
        names |= _dense(f"{prefix}.attn.qkv", block.query_key_value)
        names |= _dense(f"{prefix}.attn.proj", block.attention_output)
        names |= _norm(f"{prefix}.norm2", block.mlp_norm)
        names |= _dense(f"{prefix}.mlp.fc1", block.mlp.dense_layers[0])
        names |= _dense(f"{prefix}.mlp.fc2", block.mlp.dense_layers[1])
    names |= _norm("backbone.norm", backbone.norm)
    projection, reconstruction = network.projection_head, network.reconstruction_head
    for position, layer in zip((0, 2, 4), projection.mlp.dense_layers):
        names |= _dense(f"head_cls.mlp.{position}", layer)
    for position, layer in zip((0, 2, 4), reconstruction.mlp.dense_layers):
        names |= _dense(f"head_recons.mlp.{position}", layer)
    return names | {
        "head_cls.cls_layer.weight_v": (projection.class_prototypes.direction, np.transpose),
        "head_cls.data_layer.weight_v": (projection.patch_prototypes.direction, np.transpose),
        "head_recons.convTrans.weight": (reconstruction.kernel, lambda x: x[:, 0]),
        "head_recons.convTrans.bias": (reconstruction.bias, lambda x: x[0]),
    }


def _dense(name, layer):
    return {f"{name}.weight": (layer.kernel, np.transpose), f"{name}.bias": (layer.bias, _same)}


def _norm(name, layer):
    return {f"{name}.weight": (layer.gamma, _same), f"{name}.bias": (layer.beta, _same)}


def _same(value):
    return value


def _convolution(value):
    return value.transpose(2, 3, 1, 0)
