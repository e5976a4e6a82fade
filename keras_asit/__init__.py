"""ASiT in Keras: vision transformers over audio spectrograms that learn from unlabeled sound."""

from keras_asit import (
    callbacks,
    conversion,
    data,
    evaluation,
    events,
    exporting,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    schedules,
)
from keras_asit.exporting import export as export

__version__ = "0.1.0"

__all__ = [
    "callbacks",
    "conversion",
    "data",
    "evaluation",
    "events",
    "exporting",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "schedules",
]
