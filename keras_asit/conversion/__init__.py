"""PyTorch files of the original ASiT code, both ways."""

from keras_asit.conversion.loading import (
    load_backbone,
    load_classifier,
    load_event_detector,
    load_pretrainer,
)
from keras_asit.conversion.pytorch_files import export_backbone

__all__ = [
    "export_backbone",
    "load_backbone",
    "load_classifier",
    "load_event_detector",
    "load_pretrainer",
]
