"""Audio files to sharded records, which are many times faster to read."""

import contextlib
import functools
import hashlib
import json
import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from fractions import Fraction
from multiprocessing import connection, get_context
from threading import Thread

import keras
import tensorflow as tf

from keras_asit._arguments import check_choice, check_instance, check_integers, check_number
from keras_asit._extras import check_extra
from keras_asit._files import locked_folder, replacing, sha256_of, write_whole
from keras_asit.data.decoding import UNREADABLE, name_unreadable, reason_of
from keras_asit.data.labels import LabeledClips
from keras_asit.data.records.format import (
    CONTENTS,
    INDEX,
    PLAN,
    RecordFormat,
    absolute,
    as_json,
    begin_folder,
)
from keras_asit.data.sources import read_manifest
from keras_asit.models import ASiTAudioConverter
from keras_asit.models.audio_converter import log_mel_moments, mean_and_standard_deviation


def write_records(
    source: str | os.PathLike | Sequence[str] | LabeledClips,
    folder: str | os.PathLike,
    *,
    content: str = "waveform",
    converter: ASiTAudioConverter | None = None,
    max_seconds: float = 60.0,
    clips_per_shard: int = 64,
    num_workers: int | None = None,
    beam_options: Sequence[str] | None = None,
    verbose: int = 1,
) -> dict:
    """Write audio files to a folder of sharded, checksummed TFRecord files, and return its index.

    The same call goes on after an interruption: shards that are whole are kept, the others made,
    and the result is the same to the byte as without one. A shard is made again if a file of it
    has changed, by its size or time, or if one that was skipped can now be read. A warning at the
    end counts the files that are skipped, and the index names each with the reason.

    With `beam_options` an Apache Beam pipeline (extra `beam`) makes the same files. All its workers
    must see source and folder under the same paths.

    Args:
        source: what `keras_asit.data.read_manifest` takes, or a `LabeledClips`, whose labels the
            records then hold too.
        folder: str or `os.PathLike`. Where to write; another one for other parameters.
        content: str. What records hold: `"encoded"`, the files as they are, for any sample rate
            and front end; `"waveform"`, waveforms of 16 bits; or `"log_mel"`, log-mels in half
            precision, which is the fastest to read. Defaults to `"waveform"`.
        converter: `ASiTAudioConverter`. The sample rate, to which other files are resampled, and
            the mel bins; not the number of frames, nor mean and standard deviation, which can be
            chosen when reading. Defaults to `None`: 16 kHz and 128 mel bins.
        max_seconds: float. A longer recording is stored in pieces of the same length, each of
            which is a clip of its own from then on. Not for `"encoded"`. Defaults to `60.0`.
        clips_per_shard: int. Files of a shard. Reading in shuffled order holds about thirteen
            shards in memory: of waveforms at 16 kHz, 64 clips of 10 s need 0.3 GB, but 64 files of
            20 minutes 32 GB. Lower it for long recordings. Defaults to `64`.
        num_workers: int. Number of processes, which import the calling script: it needs
            `if __name__ == "__main__":`, unless `1` leaves all to this one. Defaults to `None`:
            one a processor.
        beam_options: list of strs, such as `["--runner=DirectRunner"]`. Defaults to `None`: no
            Beam.
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
    index = keras_asit.data.write_records("recordings", "records", content="log_mel")
    print(index["records"], "records,", len(index["skipped"]), "files skipped")
    ```
    """
    check_choice("content", content, CONTENTS)
    check_number("max_seconds", max_seconds, 1)
    check_integers(1, clips_per_shard=clips_per_shard)
    check_integers(1, or_none=True, num_workers=num_workers)
    if beam_options is not None:
        check_extra("beam", "apache_beam")
    converter = ASiTAudioConverter() if converter is None else converter
    check_instance("converter", converter, ASiTAudioConverter)
    if not isinstance(source, LabeledClips):
        paths = read_manifest(source)
        source = LabeledClips(paths, [()] * len(paths), [])
    record_format = RecordFormat(
        content, int(converter.sample_rate), int(converter.num_mels), float(max_seconds)
    )
    parameters = {
        **record_format.parameters(),
        "class_names": list(source.class_names),
        "multi_label": source.multi_label,
        "clips_per_shard": int(clips_per_shard),
        "files": len(source),
    }
    plan = _plan(source, clips_per_shard)
    folder = absolute(folder)
    with locked_folder(folder):
        begin_folder(folder, parameters, plan)
        write = functools.partial(write_shard, record_format=record_format, folder=folder)
        if beam_options is not None:
            # What remains to be done below is to verify what Beam's workers have left.
            _run_on_beam(write, folder / PLAN, beam_options)
        progress = keras.utils.Progbar(len(source), verbose=verbose, unit_name="file")
        made = map(write, plan) if num_workers == 1 else _in_processes(write, plan, num_workers)
        summaries = []
        for summary in made:
            summaries.append(summary)
            progress.add(summary["files"])
        index = _index(parameters, sorted(summaries, key=lambda summary: summary["name"]))
        write_whole(folder / INDEX, as_json(index))
    return index


def _plan(clips, clips_per_shard):
    """Return a line a shard. Each takes files from all over the source, which mixes classes."""
    number = math.ceil(len(clips) / clips_per_shard)
    labels = [list(map(int, indices)) for indices in clips.labels]
    files = list(zip(clips.paths, labels))
    return [
        json.dumps({"name": f"clips-{shard:05d}-of-{number:05d}", "clips": files[shard::number]})
        for shard in range(number)
    ]


def _in_processes(write, plan, number):
    if number is None:
        has_affinity = hasattr(os, "sched_getaffinity")
        number = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    # TensorFlow does not survive a fork.
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(number, len(plan)), context, _begin_worker, (theirs,))
    with pool, ours:
        for future in as_completed([pool.submit(write, line) for line in plan]):
            yield future.result()


def _begin_worker(pipe):
    """Use one processor, and end when the parent closes a pipe or ends, even if it is killed."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def end_with_parent():
        connection.wait([pipe])
        os._exit(1)

    Thread(target=end_with_parent, daemon=True).start()


def _index(parameters, summaries):
    """Return the index of all shards; warn of the files that were skipped."""
    skipped = [file for summary in summaries for file in summary["skipped"]]
    named = name_unreadable((file["path"], file["reason"]) for file in skipped)
    index = {**parameters, "records": sum(summary["records"] for summary in summaries)}
    if not index["records"]:
        raise ValueError(f"None of {index['files']} audio files could be read: {named}")
    if skipped:
        warnings.warn(
            f"Skipped {len(skipped)} of {index['files']} audio files: {named}", stacklevel=3
        )
    if index["content"] == "log_mel":
        moments = log_mel_moments()
        for summary in summaries:
            moments += [Fraction(value) for value in summary["moments"]]
        index["mean"] = index["standard_deviation"] = None
        with contextlib.suppress(ValueError):  # Of silence there are none.
            index["mean"], index["standard_deviation"] = mean_and_standard_deviation(moments)
    names = ("name", "files", "records", "bytes", "sha256")
    index["shards"] = [{name: summary[name] for name in names} for summary in summaries]
    return {**index, "skipped": skipped}


def write_shard(line, record_format, folder):
    """Write a shard and its summary, unless they are there, whole and what would be written now.

    That is so if no file has changed since, by size and time, and none that was skipped can be
    read now. What is written depends on files, line of the plan and format alone.
    """
    name, clips = json.loads(line).values()
    shard = folder / f"{name}.tfrecord"
    # Taken before the files are read: one that changes meanwhile is another one next time.
    states = [_state(path) for path, _ in clips]
    made_of = as_json([record_format.parameters(), line, states])
    made_of = hashlib.sha256(made_of).hexdigest()
    summary = _finished(shard, made_of)
    if summary is not None and not any(
        next(_examples(record_format, file["path"], (), log_mel_moments(), []), None)
        for file in summary["skipped"]
    ):
        return summary
    records, skipped, moments = 0, [], log_mel_moments()
    with replacing(shard) as partial:
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for path, labels in clips:
                for example in _examples(record_format, path, labels, moments, skipped):
                    writer.write(example)
                    records += 1
        summary = {
            "name": shard.name,
            "made_of": made_of,
            "files": len(clips),
            "bytes": partial.stat().st_size,
            "sha256": sha256_of(partial),
            "records": records,
            "skipped": skipped,
            "moments": [str(value) for value in moments],
        }
    write_whole(shard.with_suffix(".json"), as_json(summary))
    return summary


def _state(path):
    """Return what tells that a file has changed, or `None` if there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _finished(shard, made_of):
    """Return the summary of a shard if it is there, whole and made of this, else `None`."""
    try:
        summary = json.loads(shard.with_suffix(".json").read_bytes())
        same = summary["made_of"] == made_of and summary["sha256"] == sha256_of(shard)
    except (ValueError, LookupError, TypeError, FileNotFoundError):
        return None
    return summary if same else None


def _examples(record_format, path, labels, moments, skipped):
    """Yield the serialized records of a file; if it cannot be read, note why."""
    # Errors of who writes them do not come here, and so do not pass for a bad file.
    try:
        yield from record_format.examples(path, labels, moments)
    except UNREADABLE as error:
        skipped.append({"path": path, "reason": reason_of(error)})


def _run_on_beam(write, plan, options):
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        _ = (
            pipeline
            | "read the plan" >> beam.io.ReadFromText(str(plan))
            # Without this, one worker would make all the shards that it has read.
            | beam.Reshuffle()
            | "write shards" >> beam.Map(write)
        )
