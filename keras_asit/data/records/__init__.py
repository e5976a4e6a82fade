"""Audio files as sharded records."""

from keras_asit.data.records.folder import read_record_index
from keras_asit.data.records.reading import read_records, record_dataset
from keras_asit.data.records.writing import write_records

__all__ = [
    "read_record_index",
    "read_records",
    "record_dataset",
    "write_records",
]
