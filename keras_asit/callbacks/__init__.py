"""Callbacks and pictures that watch a training, and checkpoints of it."""

from keras_asit.callbacks.checkpoints import Checkpoints
from keras_asit.callbacks.interruption import TrainingInterrupted
from keras_asit.callbacks.log_schedules import LogSchedules
from keras_asit.callbacks.log_table import LogTable
from keras_asit.callbacks.neighbor_accuracy import NeighborAccuracy
from keras_asit.callbacks.pipeline_monitor import PipelineMonitor
from keras_asit.callbacks.plot_reconstruction import plot_reconstruction
from keras_asit.callbacks.reconstruction_pictures import ReconstructionPictures
from keras_asit.callbacks.stop_on_non_finite import StopOnNonFinite
from keras_asit.callbacks.validate_recordings import ValidateRecordings

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
    "plot_reconstruction",
]
