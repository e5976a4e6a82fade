"""A small pretrainer, and batches for it."""

import keras
import numpy as np
from keras import ops

from keras_asit.layers import GroupMasking
from keras_asit.models import ASiTBackbone, ASiTPretrainer
from keras_asit.optimizers import AdamW

SHAPE = (32, 32)
# Tracing takes longer than a step or two; JAX and PyTorch have no such thing or need it.
EAGERLY = keras.config.backend() == "tensorflow"


def build(*, dtype=None, drop_path_rate=0.1, rematerialize=False, **kwargs):
    """Return a pretrainer of a small backbone with stochastic depth."""
    backbone = ASiTBackbone(
        SHAPE,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        drop_path_rate=drop_path_rate,
        rematerialize=rematerialize,
        dtype=dtype,
    )
    sizes = {
        "num_class_prototypes": 24,
        "num_patch_prototypes": 16,
        "projection_hidden_dim": 32,
        "projection_bottleneck_dim": 8,
        "reconstruction_hidden_dim": 32,
        "reconstruction_bottleneck_dim": 16,
    }
    masking = GroupMasking(seed=1, dtype="float32")
    return ASiTPretrainer(backbone, **{"masking": masking, **sizes, **kwargs})


def compiled(pretrainer=None, **kwargs):
    """Return a pretrainer compiled with constants; under TensorFlow, to run eagerly."""
    pretrainer = build() if pretrainer is None else pretrainer
    constants = {"teacher_momentum": 0.996, "teacher_temperature": 0.04, "run_eagerly": EAGERLY}
    optimizer = AdamW(1e-3, weight_decay=0.04, clipnorm=3.0)
    pretrainer.compile(optimizer, **{**constants, **kwargs})
    return pretrainer


def batch_of(clips=4, views=2, shape=SHAPE, seed=1):
    """Return an array of views of clips."""
    views = np.random.default_rng(seed).normal(size=(clips, views, *shape))
    return views.astype("float32")


def weights_of(layer):
    """Return copies of a layer's weights."""
    return [np.copy(ops.convert_to_numpy(weight)) for weight in layer.weights]
