"""The models of ASiT and the converter of their input."""

from keras_asit.models.audio_classifier import ASiTAudioClassifier
from keras_asit.models.audio_converter import (
    AUDIOSET_MEAN,
    AUDIOSET_STANDARD_DEVIATION,
    ASiTAudioConverter,
)
from keras_asit.models.audio_preprocessor import ASiTAudioClassifierPreprocessor
from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.event_detector import ASiTEventDetector
from keras_asit.models.model_card import upload_preset
from keras_asit.models.pretrainer import ASiTPretrainer
from keras_asit.models.recipe import pretraining_recipe

__all__ = [
    "AUDIOSET_MEAN",
    "AUDIOSET_STANDARD_DEVIATION",
    "ASiTAudioClassifier",
    "ASiTAudioClassifierPreprocessor",
    "ASiTAudioConverter",
    "ASiTBackbone",
    "ASiTEventDetector",
    "ASiTPretrainer",
    "pretraining_recipe",
    "upload_preset",
]
