"""Optimizers for pre-training and fine-tuning."""

from keras_asit.optimizers.adamw import AdamW
from keras_asit.optimizers.layerwise_decay import layerwise_decay

__all__ = ["AdamW", "layerwise_decay"]
