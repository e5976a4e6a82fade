"""The optimiser of ASiT's pre-training."""

from keras_asit.optimizers.adamw import AdamW

__all__ = ["AdamW"]
