"""From audio files to the batches that ASiT learns from."""

from keras_asit.data.audio_dataset import audio_dataset
from keras_asit.data.balanced_weights import balanced_weights
from keras_asit.data.check_audio import check_audio
from keras_asit.data.data_position import DataPosition
from keras_asit.data.decode_audio import decode_audio
from keras_asit.data.labeled_clips import LabeledClips
from keras_asit.data.labeled_dataset import labeled_dataset
from keras_asit.data.mixup import Mixup
from keras_asit.data.pretraining_dataset import pretraining_dataset
from keras_asit.data.read_class_index import read_class_index
from keras_asit.data.read_esc50 import read_esc50
from keras_asit.data.read_labeled_clips import read_labeled_clips
from keras_asit.data.read_manifest import read_manifest
from keras_asit.data.read_record_index import read_record_index
from keras_asit.data.read_records import read_records
from keras_asit.data.read_speech_commands import read_speech_commands
from keras_asit.data.read_spoken_digits import read_spoken_digits
from keras_asit.data.read_voxceleb1 import read_voxceleb1
from keras_asit.data.record_dataset import record_dataset
from keras_asit.data.window_dataset import window_dataset
from keras_asit.data.write_records import write_records

__all__ = [
    "DataPosition",
    "LabeledClips",
    "Mixup",
    "audio_dataset",
    "balanced_weights",
    "check_audio",
    "decode_audio",
    "labeled_dataset",
    "pretraining_dataset",
    "read_class_index",
    "read_esc50",
    "read_labeled_clips",
    "read_manifest",
    "read_record_index",
    "read_records",
    "read_speech_commands",
    "read_spoken_digits",
    "read_voxceleb1",
    "record_dataset",
    "window_dataset",
    "write_records",
]
