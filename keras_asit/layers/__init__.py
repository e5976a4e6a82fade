"""Keras layers that ASiT is composed of; each can be used alone."""

from keras_asit.layers.augmentation import NoiseAndShift, SpecAugment
from keras_asit.layers.group_masking import GroupMasking
from keras_asit.layers.heads import ProjectionHead, ReconstructionHead
from keras_asit.layers.log_mel_filterbank import LogMelFilterbank
from keras_asit.layers.patch_embedding import PatchEmbedding
from keras_asit.layers.pooling import FramePooling, TokenPooling
from keras_asit.layers.transformer_block import TransformerBlock

__all__ = [
    "FramePooling",
    "GroupMasking",
    "LogMelFilterbank",
    "NoiseAndShift",
    "PatchEmbedding",
    "ProjectionHead",
    "ReconstructionHead",
    "SpecAugment",
    "TokenPooling",
    "TransformerBlock",
]
