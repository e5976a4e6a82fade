"""Metrics of clips that can have several labels; exact, on any backend."""

from keras_asit.metrics.d_prime import DPrime
from keras_asit.metrics.mean_auc import MeanAUC
from keras_asit.metrics.mean_average_precision import MeanAveragePrecision

__all__ = ["DPrime", "MeanAUC", "MeanAveragePrecision"]
