"""One shard of records, from its line in the plan."""

import hashlib
import os

from keras_asit.data.record_folder import as_json, file_sha256, from_plan_line
from keras_asit.data.record_format import serialize_example
from keras_asit.models.log_mel_moments import LogMelMoments


def write_shard(line, record_format, folder):
    """Write a shard and its summary, unless they are there, whole and what would be written now.

    That is so if no file has changed since, by size and time, and none that was skipped can be
    read now, for what kept it from being read may have passed. What is written depends on the
    files, the line of the plan and the format alone, not on where or how often this is called.

    Args:
        line: str. A line of the plan.
        record_format: a `RecordFormat`.
        folder: a `RecordFolder`.

    Returns:
        The summary of the shard, a dict.
    """
    import tensorflow as tf

    name, clips = from_plan_line(line)
    # Taken before the files are read: one that changes meanwhile is another one next time.
    states = [_state(path) for path, _ in clips]
    made_of = hashlib.sha256(as_json([record_format.parameters(), line, states])).hexdigest()
    summary = folder.finished(name, made_of)
    if summary is not None and not _any_readable(summary["skipped"], record_format):
        return summary
    contents = _Contents(record_format)
    shard = folder.shard(name)
    with folder.replacing(shard.name) as partial:
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for path, labels in clips:
                for example in contents.examples(path, labels):
                    writer.write(example)
        summary = {
            "name": shard.name,
            "made_of": made_of,
            "files": len(clips),
            "bytes": partial.stat().st_size,
            "sha256": file_sha256(partial),
            **contents.summary(),
        }
    folder.write(f"{name}.json", as_json(summary))
    return summary


def _state(path):
    """Return what tells that a file has changed, or `None` if there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _any_readable(skipped, record_format):
    """Return whether any of the files that were skipped can be read now."""
    contents = _Contents(record_format)
    examples = (example for file in skipped for example in contents.examples(file["path"], []))
    return next(examples, None) is not None


class _Contents:
    """The examples of a shard, and what there is to say of them."""

    def __init__(self, record_format):
        self.record_format = record_format
        self.records = 0
        self.skipped = []
        self.moments = LogMelMoments()

    def examples(self, path, labels):
        """Yield the examples of a file; of none if it cannot be read, and note why."""
        contents = self.record_format.contents(path)
        while True:
            # Only reading may fail here: errors of the writer must not pass for a bad file.
            try:
                features, frames = next(contents)
            except StopIteration:
                return
            except (OSError, RuntimeError, ValueError) as error:
                reason = getattr(error, "error_string", error)
                self.skipped.append({"path": path, "reason": str(reason)})
                return
            if frames is not None:
                self.moments.add(frames)
            self.records += 1
            yield serialize_example({"path": os.fsencode(path), "labels": labels, **features})

    def summary(self):
        """Return counts, skipped files with their reasons, and sums of log-mels, exact."""
        return {
            "records": self.records,
            "skipped": self.skipped,
            "moments": self.moments.as_strings(),
        }
