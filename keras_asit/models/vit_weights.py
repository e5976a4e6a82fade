"""The weights of KerasHub's vision transformer in ASiT's encoder."""

import numpy as np
from keras import ops

from keras_asit.layers.patch_embedding import resample_positions


def copy_vit_weights(vit_backbone, backbone):
    """Copy the weights of a `keras_hub.models.ViTBackbone` to an `ASiTBackbone` of its size."""
    needed = ("use_class_token", "use_patch_bias", "use_mha_bias", "use_mlp_bias")
    missing = [name for name in needed if not getattr(vit_backbone, name)]
    if missing:
        raise ValueError(
            "ASiT has a class token and biases everywhere; start from a ViTBackbone that has them "
            f"too. Received one with: {', '.join(f'{name}=False' for name in missing)}"
        )
    _copy_embedding(vit_backbone, backbone.patch_embedding)
    encoder = vit_backbone.get_layer("vit_encoder")
    for vit_block, block in zip(encoder.encoder_layers, backbone.transformer_blocks):
        _copy(vit_block.layer_norm_1, block.attention_norm)
        _copy_attention(vit_block.mha, block)
        _copy(vit_block.layer_norm_2, block.mlp_norm)
        _copy(vit_block.mlp.dense_1, block.mlp.dense_layers[0])
        _copy(vit_block.mlp.dense_2, block.mlp.dense_layers[1])
    _copy(encoder.layer_norm, backbone.norm)


def _copy_embedding(vit_backbone, embedding):
    vit_embedding = vit_backbone.get_layer("vit_patching_and_embedding")
    convolution = vit_embedding.patch_embedding
    # A spectrogram is a grey image: the same in all channels.
    embedding.kernel.assign(ops.sum(convolution.kernel, axis=2, keepdims=True))
    embedding.bias.assign(convolution.bias)
    embedding.class_token.assign(vit_embedding.class_token)
    sides = zip(vit_embedding.image_size, vit_backbone.patch_size)
    grid_shape = tuple(size // patch for size, patch in sides)
    positions = ops.expand_dims(
        ops.convert_to_tensor(vit_embedding.position_embedding.embeddings), 0
    )
    embedding.position_embedding.assign(
        resample_positions(positions, grid_shape, embedding.grid_shape)
    )


def _copy_attention(attention, block):
    width = attention.output_dense.kernel.shape[-1]
    layers = (attention.query_dense, attention.key_dense, attention.value_dense)
    kernels = [np.reshape(_values(layer.kernel), (width, width)) for layer in layers]
    biases = [np.reshape(_values(layer.bias), width) for layer in layers]
    block.query_key_value.set_weights([np.concatenate(kernels, axis=1), np.concatenate(biases)])
    output = np.reshape(_values(attention.output_dense.kernel), (width, width))
    block.attention_output.set_weights([output, _values(attention.output_dense.bias)])


def _copy(source, target):
    target.set_weights(source.get_weights())


def _values(variable):
    return ops.convert_to_numpy(variable)
