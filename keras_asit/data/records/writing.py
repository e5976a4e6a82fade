"""Audio files to sharded records, which are many times faster to read."""

import functools
import hashlib
import math
import os
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import connection, get_context, parent_process
from threading import Thread

import keras

from keras_asit._arguments import check_choice, check_number, check_positive_integer
from keras_asit._files import locked_folder
from keras_asit.data.labels import LabeledClips
from keras_asit.data.records.folder import (
    INDEX,
    PLAN,
    RecordFolder,
    as_json,
    as_plan_line,
    file_sha256,
    from_plan_line,
)
from keras_asit.data.records.format import KINDS, RecordFormat, serialize_example
from keras_asit.data.sources import read_manifest
from keras_asit.models.audio_converter import LogMelMoments

MAX_NAMED = 10


def write_records(
    source,
    folder,
    kind="waveform",
    sample_rate=16000,
    num_mels=128,
    max_seconds=60.0,
    clips_per_shard=64,
    num_processes=None,
    beam_options=None,
    verbose=1,
):
    """Write audio files to a folder of sharded, checksummed TFRecord files, and return its index.

    Shards are made in parallel processes, each either whole or not there. The same call goes on
    after an interruption: shards that are there are verified and kept, the others made, and the
    result is the same to the byte as without one. A shard is made again if a file of it has
    changed, by its size or time, or if one that was skipped can now be read. `index.json`, which
    `keras_asit.data.read_records` needs, is written last.

    Files that cannot be read are skipped; a warning at the end counts them, and the index names
    each with the reason.

    With `beam_options` the same work runs as an Apache Beam pipeline (extra `beam`), which makes
    the same files. All its workers must see source and folder under the same paths.

    Args:
        source: what `keras_asit.data.read_manifest` takes, or a `LabeledClips`, whose labels the
            records then hold too.
        folder: str or `os.PathLike`. Where to write; another folder for other parameters.
        kind: str. What records hold: `"encoded"`, the files as they are, for any sample rate and
            front end; `"waveform"`, waveforms of 16 bits at `sample_rate`; or `"log_mel"`, log-mels
            in half precision, which is the fastest to read. Defaults to `"waveform"`.
        sample_rate: int. In Hz; files of another one are resampled. Not for `"encoded"`. Defaults
            to `16000`.
        num_mels: int. Mel bins, for `"log_mel"`. Defaults to `128`.
        max_seconds: float. A longer recording is stored in pieces of the same length, each of
            which is a clip of its own from then on. Not for `"encoded"`. Defaults to `60.0`.
        clips_per_shard: int. Files of a shard. Shard i of n has every n-th file from the i-th on.
            Reading in shuffled order holds eight shards in memory: a minute is 1.9 MB of a
            waveform at 16 kHz, or 1.5 MB of log-mels of 128 bins, so that 64 clips of 10 s need
            0.2 GB, but 64 files of 20 minutes 20 GB. Lower it for long recordings. Defaults to
            `64`.
        num_processes: int. Defaults to `None`: one a processor. With `1` all happens in this one;
            more of them import the calling script, which needs `if __name__ == "__main__":`.
        beam_options: list of strs. Options of the Beam pipeline, such as
            `["--runner=DirectRunner"]`. Defaults to `None`: no Beam.
        verbose: int. `1` for a progress bar, `0` for none. Defaults to `1`.

    Returns:
        The index, a dict; see `keras_asit.data.read_record_index`.

    Raises:
        ValueError: If an argument is invalid, the folder holds records of other parameters, or
            none of the files can be read.
        OSError: If the folder cannot be written, or another process writes to it.
        ImportError: If Beam is asked for and not installed.

    Example:

    ```python
    index = keras_asit.data.write_records("recordings", "records", kind="log_mel")
    print(index["records"], "records,", len(index["skipped"]), "files skipped")
    ```
    """
    check_choice("kind", kind, KINDS)
    for name, value in (
        ("sample_rate", sample_rate),
        ("num_mels", num_mels),
        ("clips_per_shard", clips_per_shard),
    ):
        check_positive_integer(name, value)
    sample_rate, num_mels, clips_per_shard = map(int, (sample_rate, num_mels, clips_per_shard))
    check_number("max_seconds", max_seconds, 1)
    num_processes = _number_of_processors() if num_processes is None else num_processes
    check_positive_integer("num_processes", num_processes)
    clips = _as_labeled(source)
    record_format = RecordFormat(kind, sample_rate, num_mels, float(max_seconds))
    parameters = {
        **record_format.parameters(),
        "class_names": list(clips.class_names),
        "clips_per_shard": clips_per_shard,
        "files": len(clips),
    }
    plan = _plan(clips, clips_per_shard)
    record_folder = RecordFolder(folder)
    with locked_folder(record_folder.path):
        record_folder.begin(parameters, plan)
        write = functools.partial(write_shard, record_format=record_format, folder=record_folder)
        progress = keras.utils.Progbar(len(clips), verbose=verbose, unit_name="file")
        summaries = []
        for summary in _summaries(write, plan, record_folder, num_processes, beam_options):
            summaries.append(summary)
            progress.add(summary["files"])
        index = _index(parameters, summaries)
        _report_skipped(index)
        record_folder.write(INDEX, as_json(index))
    return index


def _number_of_processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _as_labeled(source):
    if isinstance(source, LabeledClips):
        return source
    paths = read_manifest(source)
    return LabeledClips(paths, [()] * len(paths), [])


def _plan(clips, clips_per_shard):
    """Return a line a shard. Each takes files from all over the source, which mixes classes."""
    number = math.ceil(len(clips) / clips_per_shard)
    files = [
        (path, [int(index) for index in labels]) for path, labels in zip(clips.paths, clips.labels)
    ]
    return [
        as_plan_line(f"clips-{shard:05d}-of-{number:05d}", files[shard::number])
        for shard in range(number)
    ]


def _summaries(write, plan, folder, num_processes, beam_options):
    """Make all shards; yield their summaries as they come."""
    if beam_options is not None:
        # What remains to be done below is to verify what Beam's workers have left.
        run_record_pipeline(write, folder, beam_options)
    if num_processes == 1:
        yield from map(write, plan)
    else:
        yield from _in_processes(write, plan, num_processes)


def _in_processes(write, plan, num_processes):
    # TensorFlow does not survive a fork.
    context = get_context("spawn")
    workers = min(num_processes, len(plan))
    with ProcessPoolExecutor(workers, context, _begin_worker) as pool:
        try:
            for future in as_completed([pool.submit(write, line) for line in plan]):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_worker():
    """Use one processor, and end when the parent does, even where that was killed."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def end_with_parent():
        connection.wait([parent_process().sentinel])
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()


def _index(parameters, summaries):
    summaries = sorted(summaries, key=lambda summary: summary["name"])
    skipped = [file for summary in summaries for file in summary["skipped"]]
    records = sum(summary["records"] for summary in summaries)
    if not records:
        raise ValueError(
            f"None of {parameters['files']} audio files could be read: {_describe(skipped)}"
        )
    index = {**parameters, "records": records}
    if parameters["kind"] == "log_mel":
        index["mean"], index["standard_deviation"] = _statistics(summaries)
    names = ("name", "files", "records", "bytes", "sha256")
    index["shards"] = [{name: summary[name] for name in names} for summary in summaries]
    index["skipped"] = skipped
    return index


def _statistics(summaries):
    moments = LogMelMoments()
    for summary in summaries:
        moments.merge(LogMelMoments(*summary["moments"]))
    try:
        return moments.mean_and_standard_deviation()
    except ValueError:
        return None, None


def _report_skipped(index):
    skipped = index["skipped"]
    if skipped:
        warnings.warn(
            f"Skipped {len(skipped)} of {index['files']} audio files: {_describe(skipped)}",
            stacklevel=3,
        )


def _describe(skipped):
    named = "; ".join(f"{file['path']} ({file['reason']})" for file in skipped[:MAX_NAMED])
    return f"{named}; ..." if len(skipped) > MAX_NAMED else named


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


def run_record_pipeline(write, folder, options):
    """Make every shard of a folder's plan on Beam's workers; return when all are done.

    Args:
        write: function of a line of the plan, which must be picklable.
        folder: a `RecordFolder` that has been begun.
        options: list of strs. Options of the pipeline.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ImportError(
            'Writing records on Apache Beam needs the extra `beam`: pip install "keras-asit[beam]".'
        ) from error
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        _ = (
            pipeline
            | "read the plan" >> beam.io.ReadFromText(str(folder.path / PLAN))
            # Without this, one worker would make all the shards that it has read.
            | beam.Reshuffle()
            | "write shards" >> beam.Map(write)
        )
