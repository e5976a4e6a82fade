"""A backbone with both heads: what student and teacher are."""

import keras

from keras_asit.layers import ProjectionHead, ReconstructionHead


class ASiTNetwork(keras.Model):
    """A backbone, a projection head and a reconstruction head.

    Args:
        backbone: an `ASiTBackbone`.
        projection: dict of arguments of `ProjectionHead`.
        reconstruction: dict of arguments of `ReconstructionHead`.
        frozen: bool. Whether no variable is ever trainable, whatever `trainable` is set to; the
            backbone, saved as a preset, loads as trainable. Defaults to `False`.
        **kwargs: Arguments of `keras.Model`, such as `name`.
    """

    def __init__(self, backbone, projection, reconstruction, frozen=False, **kwargs):
        super().__init__(**kwargs)
        self._frozen = frozen
        dtype = backbone.dtype_policy
        self.backbone = backbone
        self.projection_head = ProjectionHead(**projection, dtype=dtype, name="projection_head")
        self.reconstruction_head = ReconstructionHead(
            backbone.grid_shape,
            backbone.patch_size,
            **reconstruction,
            dtype=dtype,
            name="reconstruction_head",
        )
        self.build()

    def build(self, input_shape=None):
        token_shape = (None, None, self.backbone.hidden_dim)
        self.projection_head.build(token_shape)
        self.reconstruction_head.build(token_shape)
        self._freeze()

    @property
    def trainable(self):
        return super().trainable

    @trainable.setter
    def trainable(self, value):
        keras.Model.trainable.fset(self, value)
        self._freeze()

    def _freeze(self):
        if self._frozen:
            for variable in self.variables:
                variable.trainable = False

    def call(self, spectrograms, training=False):
        """Return class logits, patch logits and the reconstruction of spectrograms."""
        tokens = self.backbone(spectrograms, training=training)
        return *self.projection_head(tokens), self.reconstruction_head(tokens[:, 1:])

    def project(self, spectrograms, training=False):
        """Return class logits and patch logits."""
        return self.projection_head(self.backbone(spectrograms, training=training))

    def project_crops(self, spectrograms, training=False):
        """Return the class logits of crops of any size."""
        tokens = self.backbone.encode(spectrograms, training=training)
        return self.projection_head(tokens[:, :1])[0]
