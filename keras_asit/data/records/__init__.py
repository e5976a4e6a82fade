"""Audio files as sharded records."""

from keras_asit.data.records.folder import holds_records, read_record_index
from keras_asit.data.records.writing import write_records

__all__ = [
    "holds_records",
    "read_record_index",
    "write_records",
]
