"""One shard, a TFRecord file whose records are found by their place and checked at each reading."""

import os
import struct

import google_crc32c
import numpy as np

from keras_asit._files import sha256_of

# Before a record: its length, and the checksum of that. Behind it: its own checksum.
LENGTH, CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")


class Shard:
    """A shard of a folder of records, as its index describes it.

    Its methods raise `ValueError` where the file is damaged.
    """

    def __init__(self, folder, name, sha256, num_records):
        self.path = folder / name
        self.sha256 = sha256
        self.num_records = num_records
        self.compared = False
        # Where its records begin, once it has been opened.
        self.offsets = None

    def compare(self):
        """Compare the whole file with the index, once."""
        if self.compared:
            return
        try:
            found = sha256_of(self.path)
        except OSError as error:
            raise ValueError(f"Shard {self.path} cannot be read: {error}") from None
        if found != self.sha256:
            raise self._damaged("its checksum is not that of the index")
        self.compared = True

    def read(self, places):
        """Return the records at these places, read from the first to the last."""
        records = np.empty(len(places), object)
        with open(self.path, "rb") as file:
            if self.offsets is None:
                self.offsets = self._find_offsets(file)
            for index in np.argsort(places):
                file.seek(self.offsets[places[index]])
                records[index] = self._read_checked(file, self._read_length(file))
        return records

    def _find_offsets(self, file):
        offsets = [0]
        for _ in range(self.num_records - 1):
            file.seek(offsets[-1])
            length = self._read_length(file)
            offsets.append(file.tell() + length + CHECKSUM.size)
        return np.array(offsets)

    def _read_length(self, file):
        """Return the length of the record that begins here, and stop where its content does."""
        return LENGTH.unpack(self._read_checked(file, LENGTH.size))[0]

    def _read_checked(self, file, length):
        """Return so many bytes, once they have the checksum behind them."""
        # A length that is a mistake would be allocated.
        if length <= os.fstat(file.fileno()).st_size:
            content, checksum = file.read(length), file.read(CHECKSUM.size)
            if checksum == CHECKSUM.pack(_masked(google_crc32c.value(content))):
                return content
        raise self._damaged("a checksum within it is wrong, or it has been written anew")

    def _damaged(self, reason):
        return ValueError(
            f"Shard {self.path} is damaged: {reason}. Call `write_records` again to repair it, and "
            "read it again."
        )


def _masked(checksum):
    """Return a checksum as TFRecord files have it."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
