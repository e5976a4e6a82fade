"""Callbacks and pictures that watch a pre-training."""

from keras_asit.callbacks.log_schedules import LogSchedules
from keras_asit.callbacks.plot_reconstruction import plot_reconstruction
from keras_asit.callbacks.reconstruction_pictures import ReconstructionPictures

__all__ = ["LogSchedules", "ReconstructionPictures", "plot_reconstruction"]
