"""ASiT in Keras: vision transformers over audio spectrograms that learn from unlabeled sound."""

from keras_asit import (
    callbacks,
    conversion,
    data,
    evaluation,
    events,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    schedules,
)

__version__ = "0.1.0"

__all__ = [
    "callbacks",
    "conversion",
    "data",
    "evaluation",
    "events",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "schedules",
]
