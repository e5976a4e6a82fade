"""From audio files to the batches that ASiT learns from."""

from keras_asit.data.checking import check_audio
from keras_asit.data.decoding import decode_audio
from keras_asit.data.event_labels import LabeledEvents, read_labeled_events
from keras_asit.data.labeled_batches import labeled_dataset
from keras_asit.data.labels import (
    LabeledClips,
    balanced_weights,
    read_class_index,
    read_labeled_clips,
)
from keras_asit.data.pretraining_batches import pretraining_dataset
from keras_asit.data.progress import ReadLog, Start
from keras_asit.data.public_datasets import (
    read_esc50,
    read_speech_commands,
    read_spoken_digits,
    read_voxceleb1,
)
from keras_asit.data.records.format import holds_records, read_record_index
from keras_asit.data.records.writing import write_records
from keras_asit.data.sources import read_manifest
from keras_asit.data.waveforms import audio_dataset

__all__ = [
    "LabeledClips",
    "LabeledEvents",
    "ReadLog",
    "Start",
    "audio_dataset",
    "balanced_weights",
    "check_audio",
    "decode_audio",
    "holds_records",
    "labeled_dataset",
    "pretraining_dataset",
    "read_class_index",
    "read_esc50",
    "read_labeled_clips",
    "read_labeled_events",
    "read_manifest",
    "read_record_index",
    "read_speech_commands",
    "read_spoken_digits",
    "read_voxceleb1",
    "write_records",
]
