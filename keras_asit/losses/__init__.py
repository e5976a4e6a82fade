"""The losses of ASiT's pre-training."""

from keras_asit.losses.distillation_loss import DistillationLoss
from keras_asit.losses.masked_reconstruction_loss import MaskedReconstructionLoss

__all__ = ["DistillationLoss", "MaskedReconstructionLoss"]
