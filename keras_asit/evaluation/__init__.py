"""How good a model or an embedding is, on whole recordings."""

from keras_asit.evaluation.accuracy import class_table, linear_probe_accuracy, neighbor_accuracy
from keras_asit.evaluation.detection import choose_thresholds, event_metrics
from keras_asit.evaluation.labeling import label_recordings
from keras_asit.evaluation.pictures import plot_confusion, plot_events, plot_reconstruction
from keras_asit.evaluation.windows import predict_recordings, window_dataset, window_starts

__all__ = [
    "choose_thresholds",
    "class_table",
    "event_metrics",
    "label_recordings",
    "linear_probe_accuracy",
    "neighbor_accuracy",
    "plot_confusion",
    "plot_events",
    "plot_reconstruction",
    "predict_recordings",
    "window_dataset",
    "window_starts",
]
