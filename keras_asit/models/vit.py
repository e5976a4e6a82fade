"""Vision transformers of images in KerasHub, as a start of ASiT."""

import keras_hub
import numpy as np
from keras import ops

from keras_asit.layers.patch_embedding import resample_positions


def vit_sizes(vit):
    """Return arguments of the `ASiTBackbone` that a ViT or DeiT becomes, or raise `ValueError`."""
    is_deit = _is_deit(vit)
    if not is_deit and not isinstance(vit, keras_hub.models.ViTBackbone):
        raise ValueError(
            "`vit_backbone` must be a ViTBackbone or DeiTBackbone of KerasHub, or a state dict or "
            f"the path of a file of one. Received: {type(vit).__name__}"
        )
    # A DeiT can be without biases in its attention only.
    needed = ("use_class_token", "use_patch_bias", "use_mha_bias", "use_mlp_bias")
    missing = [f"{name}=False" for name in needed if not getattr(vit, name, True)]
    if missing:
        raise ValueError(
            "ASiT has a class token and biases everywhere; start from a network that has them too. "
            f"Received one with: {', '.join(missing)}"
        )
    names = ("patch_size", "num_layers", "num_heads", "hidden_dim", "layer_norm_epsilon")
    mlp_dim = vit.intermediate_dim if is_deit else vit.mlp_dim
    return {**{name: getattr(vit, name) for name in names}, "mlp_dim": mlp_dim}


def copy_vit_weights(vit, backbone):
    """Start an `ASiTBackbone` from a ViT or DeiT of its sizes."""
    is_deit = _is_deit(vit)
    kind = "deit" if is_deit else "vit"
    patching = vit.get_layer(f"{kind}_patching_and_embedding")
    encoder = vit.get_layer(f"{kind}_encoder")
    kernel, bias = patching.patch_embedding.get_weights()
    embedding = backbone.patch_embedding
    # A spectrogram is a gray image: the same in all channels.
    embedding.kernel.assign(kernel.sum(axis=2, keepdims=True))
    embedding.bias.assign(bias)
    embedding.class_token.assign(patching.class_token)
    grid_shape = [image // patch for image, patch in zip(patching.image_size, vit.patch_size)]
    if is_deit:
        positions = ops.convert_to_numpy(patching.position_embedding)
        positions = np.delete(positions, 1, axis=1)  # That of the distillation token.
    else:
        positions = ops.convert_to_numpy(patching.position_embedding.embeddings)[None]
    embedding.position_embedding.assign(
        resample_positions(positions, tuple(grid_shape), embedding.grid_shape)
    )
    for source, block in zip(encoder.encoder_layers, backbone.transformer_blocks):
        block.attention_norm.set_weights(source.layer_norm_1.get_weights())
        attention = source.mha
        projections = (attention.query_dense, attention.key_dense, attention.value_dense)
        block.query_key_value.set_weights(
            [np.concatenate(parts, axis=-1) for parts in zip(*map(_merge_heads, projections))]
        )
        block.attention_output.set_weights(_merge_heads(attention.output_dense))
        block.mlp_norm.set_weights(source.layer_norm_2.get_weights())
        mlp = source.mlp
        denses = (mlp.dense, source.output_layer.dense) if is_deit else (mlp.dense_1, mlp.dense_2)
        for dense, layer in zip(denses, block.mlp.dense_layers):
            layer.set_weights(dense.get_weights())
    backbone.norm.set_weights(encoder.layer_norm.get_weights())


def _is_deit(vit):
    return isinstance(vit, keras_hub.models.DeiTBackbone)


def _merge_heads(layer):
    """Return kernel and bias of a projection of the attention without axes of heads."""
    kernel, bias = layer.get_weights()
    width = round(kernel.size**0.5)
    return [kernel.reshape(width, width), bias.reshape(width)]
