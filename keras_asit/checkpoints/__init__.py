"""PyTorch files of the original ASiT code, both ways."""

from keras_asit.checkpoints.export_backbone import export_backbone
from keras_asit.checkpoints.load_backbone import load_backbone
from keras_asit.checkpoints.load_event_detector import load_event_detector
from keras_asit.checkpoints.load_pretrainer import load_pretrainer

__all__ = ["export_backbone", "load_backbone", "load_event_detector", "load_pretrainer"]
