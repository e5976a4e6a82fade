"""From audio files to the batches that ASiT learns from."""

from keras_asit.data.audio_dataset import audio_dataset
from keras_asit.data.decode_audio import decode_audio
from keras_asit.data.pretraining_dataset import pretraining_dataset
from keras_asit.data.read_manifest import read_manifest

__all__ = ["audio_dataset", "decode_audio", "pretraining_dataset", "read_manifest"]
