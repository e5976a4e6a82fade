"""Callbacks and pictures that watch a training, and checkpoints of it."""

from keras_asit.callbacks.checkpoints import Checkpoints
from keras_asit.callbacks.continuation import TrainingInterrupted
from keras_asit.callbacks.log_table import LogSchedules, LogTable
from keras_asit.callbacks.non_finite import StopOnNonFinite
from keras_asit.callbacks.pipeline_monitor import PipelineMonitor
from keras_asit.callbacks.validation import (
    NeighborAccuracy,
    ReconstructionPictures,
    ValidateRecordings,
)

__all__ = [
    "Checkpoints",
    "LogSchedules",
    "LogTable",
    "NeighborAccuracy",
    "PipelineMonitor",
    "ReconstructionPictures",
    "StopOnNonFinite",
    "TrainingInterrupted",
    "ValidateRecordings",
]
