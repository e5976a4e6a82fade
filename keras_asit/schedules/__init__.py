"""Schedules of the step for learning rate, weight decay, momentum and temperature."""

from keras_asit.schedules.linear_ramp import LinearRamp
from keras_asit.schedules.warmup_cosine import WarmupCosine

__all__ = ["LinearRamp", "WarmupCosine"]
