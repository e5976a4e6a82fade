"""How good a model or an embedding is, on whole recordings."""

from keras_asit.evaluation.neighbors import neighbor_accuracy
from keras_asit.evaluation.pictures import plot_confusion, plot_events, plot_reconstruction
from keras_asit.evaluation.prediction import predict_recordings
from keras_asit.evaluation.probe import linear_probe_accuracy
from keras_asit.evaluation.report import class_table
from keras_asit.evaluation.windows import window_dataset, window_starts

__all__ = [
    "class_table",
    "linear_probe_accuracy",
    "neighbor_accuracy",
    "plot_confusion",
    "plot_events",
    "plot_reconstruction",
    "predict_recordings",
    "window_dataset",
    "window_starts",
]
