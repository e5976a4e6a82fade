"""Schedules of the step for learning rate, weight decay, momentum and temperature."""

from keras_asit.schedules.linear_ramp import LinearRamp
from keras_asit.schedules.scaled import Scaled
from keras_asit.schedules.warmup_cosine import WarmupCosine
from keras_asit.schedules.warmup_step_decay import WarmupStepDecay

__all__ = ["LinearRamp", "Scaled", "WarmupCosine", "WarmupStepDecay"]
