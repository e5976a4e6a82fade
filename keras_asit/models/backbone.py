"""The ASiT encoder."""

import os
from collections.abc import Sequence

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_asit._arguments import (
    arguments_of,
    as_pair,
    check_integers,
    check_known,
    check_number,
)
from keras_asit.layers import PatchEmbedding, TokenPooling, TransformerBlock
from keras_asit.layers.pooling import DEFAULT_POOLING
from keras_asit.models import presets as builtin_presets
from keras_asit.models.model_card import SavedWithCard
from keras_asit.models.vit import copy_vit_weights, vit_sizes


@keras.saving.register_keras_serializable(package="keras_asit")
class ASiTBackbone(SavedWithCard, keras_hub.models.Backbone):
    """ASiT encoder: a vision transformer over log-mel spectrograms.

    Patch embedding with a [CLS] token and learned positions, pre-norm transformer blocks, a
    final layer normalization. The usual sizes are tiny (192 wide, 12 layers, 3 heads), small
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
        rematerialize: bool. Whether training keeps only the tokens between blocks, and computes a
            block once more for its gradient: less memory for more time. Defaults to `False`.
        dtype: str or `keras.DTypePolicy`. Defaults to `None`, the global policy.
        **kwargs: Arguments of `keras_hub.models.Backbone`, such as `name` and `trainable`.

    Input shape:
        `(batch, frames, mels)`, normalized as `ASiTAudioConverter` does.

    Output shape:
        `(batch, 1 + patches, hidden_dim)`, [CLS] first, then patches in time-major order. Those of
        each transformer block are in the dict `block_outputs`, by the name of the block.

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
        rematerialize: bool = False,
        dtype: str | keras.DTypePolicy | None = None,
        **kwargs,
    ):
        check_integers(1, num_layers=num_layers)
        check_number("drop_path_rate", drop_path_rate, 0, 0.999)
        check_known("ASiTBackbone", kwargs, ("name", "trainable"))
        spectrogram_shape = as_pair("spectrogram_shape", spectrogram_shape)

        # === Layers ===
        self.patch_embedding = PatchEmbedding(
            hidden_dim,
            spectrogram_shape=spectrogram_shape,
            patch_size=patch_size,
            patch_stride=patch_stride,
            dtype=dtype,
            name="patch_embedding",
        )
        self.transformer_blocks = [
            TransformerBlock(
                num_heads,
                mlp_dim,
                drop_path_rate=float(rate),
                layer_norm_epsilon=layer_norm_epsilon,
                rematerialize=rematerialize,
                dtype=dtype,
                name=f"transformer_block_{index}",
            )
            for index, rate in enumerate(np.linspace(0, drop_path_rate, num_layers))
        ]
        self.norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, dtype=dtype, name="norm"
        )

        # === Functional Model ===
        inputs = keras.Input(shape=spectrogram_shape, name="spectrograms")
        block_outputs = {}
        outputs = self.encode(inputs, block_outputs=block_outputs)
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)
        self.block_outputs = block_outputs

        # === Config ===
        self.spectrogram_shape = spectrogram_shape
        self.patch_size = self.patch_embedding.patch_size
        self.patch_stride = self.patch_embedding.patch_stride
        self.grid_shape = self.patch_embedding.grid_shape
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.drop_path_rate = drop_path_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.rematerialize = bool(rematerialize)

    def encode(self, spectrograms, training: bool | None = None, block_outputs: dict | None = None):
        """Encode spectrograms of any size; positions are interpolated where it differs.

        Args:
            spectrograms: tensor of shape `(batch, frames, mels)`.
            training: bool. Whether stochastic depth is active. Defaults to `None`, as in the layer
                that calls, or else not.
            block_outputs: dict, to which the tokens of each block are added by its name. Defaults
                to `None`.

        Returns:
            A tensor of shape `(batch, 1 + patches, hidden_dim)`.
        """
        tokens = self.patch_embedding(spectrograms)
        for block in self.transformer_blocks:
            tokens = block(tokens, training=training)
            if block_outputs is not None:
                block_outputs[block.name] = tokens
        return self.norm(tokens)

    def feature_model(
        self, pooling: str = DEFAULT_POOLING, blocks: Sequence[int] | None = None
    ) -> keras.Model:
        """Return a `keras.Model` from spectrograms to one vector a clip; it shares all weights.

        Args:
            pooling: str, as in `keras_asit.layers.TokenPooling`. Defaults to
                `"mel_rows_and_deviation"`, over the frames that have sound.
            blocks: ints, from 0, or from -1 for the last: the transformer blocks whose tokens,
                layer-normalized and side by side, are pooled. Defaults to `None`: the one a
                quarter of the way up, which keeps more of the sound itself, and the last;
                recipes/configs tells how that was chosen. `[-1]` is the output of the backbone.

        Example:
        ```python
        backbone = keras_asit.models.ASiTBackbone.from_preset("asit_tiny_16k", load_weights=False)
        features = backbone.feature_model("mel_rows").predict(np.zeros((2, 592, 128)))  # (2, 3072)
        ```
        """
        pool = TokenPooling(pooling, self.grid_shape[1], name="pooling")
        return keras.Model(self.input, pool(self._tokens_of(blocks), self.input), name="features")

    def _tokens_of(self, blocks):
        if blocks is None:
            blocks = sorted({self.num_layers // 4, self.num_layers - 1})
        numbers = range(-self.num_layers, self.num_layers)
        if not blocks or any(block not in numbers for block in blocks):
            raise ValueError(
                f"`blocks` must be at least one of the integers from {numbers[0]} to "
                f"{numbers[-1]}. Received: blocks={blocks!r}"
            )
        names = [self.transformer_blocks[block].name for block in blocks]
        return ops.concatenate([self.norm(self.block_outputs[name]) for name in names], axis=-1)

    @classmethod
    def from_preset(cls, preset: str, load_weights: bool = True, **kwargs):
        """Load a backbone from a preset.

        Args:
            preset: str. One of `ASiTBackbone.presets`, a folder that `save_to_preset` wrote, or a
                `hf://` or `kaggle://` handle. The first use of a built-in preset with weights
                downloads and converts the published file, for which PyTorch is needed.
            load_weights: bool. Whether to load weights or start at random. Defaults to `True`.
            **kwargs: Constructor arguments that replace the preset's. With another
                `spectrogram_shape` or `patch_stride`, positions are interpolated.

        Raises:
            OSError: if a published file cannot be downloaded; the message tells of other ways.

        Example:
        ```python
        backbone = keras_asit.models.ASiTBackbone.from_preset(
            "asit_tiny_16k", load_weights=False, spectrogram_shape=(998, 128)
        )
        ```
        """
        arguments = builtin_presets.part_of(preset, "backbone", load_weights)
        if arguments is not None:
            return cls(**{**arguments, **kwargs})
        folder = builtin_presets.locate(preset)
        return super().from_preset(folder, load_weights=load_weights, **kwargs)

    @classmethod
    def from_vit(
        cls,
        vit_backbone: keras_hub.models.Backbone | str | os.PathLike | dict,
        spectrogram_shape: tuple[int, int] = (592, 128),
        **kwargs,
    ):
        """Start from a vision transformer of images, as the second generation of ASiT does.

        The patch kernel is summed over the colors and positions are interpolated. The distillation
        token of DeiT and its position are left out: its blocks have seen it beside [CLS], and never
        an average of the two.

        Args:
            vit_backbone: a `keras_hub.models.ViTBackbone` with a class token and biases, or a
                `keras_hub.models.DeiTBackbone`; or the weights of a ViT or a DeiT by their names in
                timm or transformers: a state dict, of tensors or arrays, or a PyTorch or
                `.safetensors` file, for which PyTorch is needed.
            spectrogram_shape: pair of ints, (frames, mels). Defaults to `(592, 128)`.
            **kwargs: Other constructor arguments, such as `drop_path_rate`; for a state dict or
                file those of `keras_asit.conversion.load_backbone`, such as `num_heads`.

        Raises:
            ValueError: if it is none of these, or has no class token or biases.

        Example:
        ```python
        vit = keras_hub.models.ViTBackbone((224, 224, 3), 16, 12, 3, 192, 768)
        backbone = keras_asit.models.ASiTBackbone.from_vit(vit)
        ```
        """
        if isinstance(vit_backbone, (str, os.PathLike, dict)):
            load = builtin_presets.CONVERSIONS["vit"]
            return load(vit_backbone, spectrogram_shape=spectrogram_shape, **kwargs)
        backbone = cls(spectrogram_shape, **{**vit_sizes(vit_backbone), **kwargs})
        copy_vit_weights(vit_backbone, backbone)
        return backbone

    @staticmethod
    def get_layout_map(
        device_mesh: keras.distribution.DeviceMesh,
        model_parallel_dim_name: str = "model",
        data_parallel_dim_name: str = "batch",
    ) -> keras.distribution.LayoutMap:
        """Return how devices divide the weights among them, those of pre-training's heads too.

        Each device has a part of the attention heads, of the hidden units of each MLP, and of the
        prototypes; everything else it has whole.

        Args:
            device_mesh: a `keras.distribution.DeviceMesh` with both axes.
            model_parallel_dim_name: str. The axis along which weights are divided. Defaults to
                `"model"`.
            data_parallel_dim_name: str. The axis along which batches are. Defaults to `"batch"`.

        Example:
        ```python
        mesh = keras.distribution.DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"])
        layout_map = keras_asit.models.ASiTBackbone.get_layout_map(mesh)
        distribution = keras.distribution.ModelParallel(layout_map=layout_map)
        ```

        Reference: Shoeybi et al., "Megatron-LM", arXiv 1909.08053, section 3.
        """
        missing = {model_parallel_dim_name, data_parallel_dim_name} - {*device_mesh.axis_names}
        if missing:
            raise ValueError(
                f"`device_mesh` must have the axes {model_parallel_dim_name!r} and "
                f"{data_parallel_dim_name!r}. Received: axis_names={device_mesh.axis_names}"
            )
        model = model_parallel_dim_name
        layout_map = keras.distribution.LayoutMap(device_mesh)
        first, second = "(query_key_value|mlp/dense_1)", "(attention_output|mlp/dense_2)"
        layout_map[f".*{first}/kernel"] = (None, model)
        layout_map[f".*{first}/bias"] = (model,)
        layout_map[f".*{second}/kernel"] = (model, None)
        layout_map[".*prototypes/direction"] = (None, model)
        layout_map[".*prototypes/gain"] = (model,)
        return layout_map

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
        return {**arguments_of(ASiTBackbone, self), **config}
