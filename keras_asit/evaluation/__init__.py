"""How good a model or an embedding is, on whole recordings."""

from keras_asit.evaluation.class_table import class_table
from keras_asit.evaluation.neighbor_accuracy import neighbor_accuracy
from keras_asit.evaluation.plot_confusion import plot_confusion
from keras_asit.evaluation.predict_recordings import predict_recordings

__all__ = ["class_table", "neighbor_accuracy", "plot_confusion", "predict_recordings"]
