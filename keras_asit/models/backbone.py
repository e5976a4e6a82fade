"""The ASiT encoder."""

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_asit._arguments import as_pair, check_known, check_number, check_positive_integer
from keras_asit.layers import PatchEmbedding, TransformerBlock
from keras_asit.layers.patch_embedding import resample_positions
from keras_asit.models import presets as builtin_presets


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTBackbone(keras_hub.models.Backbone):
    """ASiT encoder: a vision transformer over log-mel spectrograms.

    Patch embedding with a [CLS] token and learned positions, pre-norm transformer blocks, a
    final layer normalisation. The usual sizes are tiny (192 wide, 12 layers, 3 heads), small
    (384, 12, 6) and base (768, 12, 12).

    Args:
        spectrogram_shape: pair of ints, (frames, mels). Defaults to `(592, 128)`, 6 seconds.
        patch_size: int or pair of ints, (frames, mels) of a patch. Defaults to `(16, 16)`.
        num_layers: int. Number of transformer blocks. Defaults to `12`.
        num_heads: int. Attention heads per block; must divide `hidden_dim`. Defaults to `12`.
        hidden_dim: int. Width of the tokens. Defaults to `768`.
        mlp_dim: int. Width of the hidden layer of each block's MLP. Defaults to `3072`.
        drop_path_rate: float in [0, 1). Stochastic depth of the last block; it rises linearly
            from 0 in the first. Defaults to `0.0`.
        patch_stride: int or pair of ints. Distance between patches; smaller than `patch_size`,
            they overlap. Defaults to `None`, `patch_size`.
        layer_norm_epsilon: float. Defaults to `1e-6`.
        dtype: str or `keras.DTypePolicy`. Defaults to `None`, the global policy.
        **kwargs: Arguments of `keras_hub.models.Backbone`, such as `name` and `trainable`.

    Input shape:
        `(batch, frames, mels)`, normalised as `ASiTAudioConverter` does.

    Output shape:
        `(batch, 1 + patches, hidden_dim)`, [CLS] first, then patches in time-major order.

    Example:

    ```python
    backbone = keras_asit.models.ASiTBackbone(num_heads=3, hidden_dim=192, mlp_dim=768)
    tokens = backbone(np.random.normal(size=(2, 592, 128)))  # (2, 297, 192)
    ```

    Reference: Atito et al., "ASiT: Local-Global Audio Spectrogram vIsion Transformer for Event
    Classification", arXiv 2211.13189, section III.
    """

    presets = builtin_presets.listed_presets()

    def __init__(
        self,
        spectrogram_shape: tuple[int, int] = (592, 128),
        patch_size: int | tuple[int, int] = (16, 16),
        num_layers: int = 12,
        *,
        num_heads: int = 12,
        hidden_dim: int = 768,
        mlp_dim: int = 3072,
        drop_path_rate: float = 0.0,
        patch_stride: int | tuple[int, int] | None = None,
        layer_norm_epsilon: float = 1e-6,
        dtype: str | keras.DTypePolicy | None = None,
        **kwargs,
    ):
        check_positive_integer("num_layers", num_layers)
        check_number("drop_path_rate", drop_path_rate, 0, 0.999)
        check_known("ASiTBackbone", kwargs, ("name", "trainable"))
        spectrogram_shape = as_pair("spectrogram_shape", spectrogram_shape)

        # === Layers ===
        embedding = PatchEmbedding(
            hidden_dim,
            spectrogram_shape=spectrogram_shape,
            patch_size=patch_size,
            patch_stride=patch_stride,
            dtype=dtype,
            name="patch_embedding",
        )
        blocks = [
            TransformerBlock(
                num_heads,
                mlp_dim,
                drop_path_rate=float(rate),
                layer_norm_epsilon=layer_norm_epsilon,
                dtype=dtype,
                name=f"transformer_block_{index}",
            )
            for index, rate in enumerate(np.linspace(0, drop_path_rate, num_layers))
        ]
        norm = keras.layers.LayerNormalization(epsilon=layer_norm_epsilon, dtype=dtype, name="norm")

        # === Functional Model ===
        inputs = keras.Input(shape=spectrogram_shape, name="spectrograms")
        outputs = _encode(inputs, embedding, blocks, norm)
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.patch_embedding = embedding
        self.transformer_blocks = blocks
        self.norm = norm
        self.spectrogram_shape = spectrogram_shape
        self.patch_size = embedding.patch_size
        self.patch_stride = embedding.patch_stride
        self.grid_shape = embedding.grid_shape
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.drop_path_rate = drop_path_rate
        self.layer_norm_epsilon = layer_norm_epsilon

    def encode(self, spectrograms, training=False):
        """Encode spectrograms of any size; positions are interpolated where it differs.

        Args:
            spectrograms: tensor of shape `(batch, frames, mels)`.
            training: bool. Whether stochastic depth is active. Defaults to `False`.

        Returns:
            A tensor of shape `(batch, 1 + patches, hidden_dim)`.
        """
        return _encode(
            spectrograms,
            self.patch_embedding,
            self.transformer_blocks,
            self.norm,
            training=training,
        )

    @classmethod
    def from_preset(cls, preset, load_weights=True, **kwargs):
        """Load a backbone from a preset.

        Args:
            preset: str. One of `ASiTBackbone.presets`, a folder that `save_to_preset` wrote, or a
                `hf://` or `kaggle://` handle. The first use of a built-in preset with weights
                downloads and converts the published file, for which PyTorch is needed.
            load_weights: bool. Whether to load weights, or to start at random. Defaults to
                `True`.
            **kwargs: Constructor arguments that replace the preset's. With another
                `spectrogram_shape` or `patch_stride`, positions are interpolated.

        Returns:
            An `ASiTBackbone`.

        Raises:
            OSError: if a published file cannot be downloaded; the message tells of other ways.

        Example:

        ```python
        backbone = keras_asit.models.ASiTBackbone.from_preset(
            "asit_tiny_16k", load_weights=False, spectrogram_shape=(998, 128)
        )
        ```
        """
        builtin = builtin_presets.PRESETS.get(preset)
        if builtin is None:
            return super().from_preset(preset, load_weights=load_weights, **kwargs)
        if builtin["file"] and load_weights:
            return super().from_preset(builtin_presets.preset_folder(preset), **kwargs)
        if load_weights:
            builtin_presets.warn_of_random_start(preset)
        return cls(**{**builtin["backbone"], **kwargs})

    @classmethod
    def from_vit(cls, vit_backbone, spectrogram_shape=(592, 128), **kwargs):
        """Start from a vision transformer of images, as the second generation of ASiT does.

        The patch kernel is summed over the colours and positions are interpolated.

        Args:
            vit_backbone: a `keras_hub.models.ViTBackbone` with a class token and biases.
            spectrogram_shape: pair of ints, (frames, mels). Defaults to `(592, 128)`.
            **kwargs: Other constructor arguments, such as `drop_path_rate`.

        Returns:
            An `ASiTBackbone` of the same size.

        Raises:
            ValueError: if it is no such `ViTBackbone`.

        Example:

        ```python
        vit = keras_hub.models.ViTBackbone((224, 224, 3), 16, 12, 3, 192, 768)
        backbone = keras_asit.models.ASiTBackbone.from_vit(vit)
        ```
        """
        if not isinstance(vit_backbone, keras_hub.models.ViTBackbone):
            raise ValueError(
                "`vit_backbone` must be a keras_hub.models.ViTBackbone. Received: "
                f"{type(vit_backbone).__name__}"
            )
        names = ("patch_size", "num_layers", "num_heads", "hidden_dim", "mlp_dim")
        sizes = {name: getattr(vit_backbone, name) for name in names}
        epsilon = vit_backbone.layer_norm_epsilon
        backbone = cls(spectrogram_shape, **{**sizes, "layer_norm_epsilon": epsilon, **kwargs})
        copy_vit_weights(vit_backbone, backbone)
        return backbone

    def default_lora_layer_names(self):
        return ["query_key_value"]

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        quantization = config.pop("quantization", None)
        if quantization is not None:
            config["dtype"] = keras.dtype_policies.deserialize(quantization)
        return super().from_config(config)

    def get_config(self):
        config = super().get_config()
        if config["dtype"]["class_name"] == "DTypePolicyMap":
            # KerasHub loads the preset of a backbone without the precision of each layer.
            config["quantization"] = config["dtype"]
        return {
            **config,
            "spectrogram_shape": self.spectrogram_shape,
            "patch_size": self.patch_size,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "mlp_dim": self.mlp_dim,
            "drop_path_rate": self.drop_path_rate,
            "patch_stride": self.patch_stride,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }


def _encode(spectrograms, embedding, blocks, norm, training=None):
    tokens = embedding(spectrograms)
    for block in blocks:
        tokens = block(tokens, training=training)
    return norm(tokens)


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
