"""Turn audio files into sharded records, which are many times faster to pre-train on.

    python recipes/write_records.py RECORDINGS records --content log_mel
    python recipes/write_records.py RECORDINGS records --runner FlinkRunner --flink_master HOST:8081

RECORDINGS is a folder, searched whole, or a .txt, .csv or .json manifest. The same command goes on
where it was interrupted, and repairs damaged shards. With --runner the work runs as an Apache
Beam pipeline (extra `beam`), to which all options that are not below are passed on; its workers
must see the recordings and the folder under the same paths. The files are the same either way.
"""

import argparse
from concurrent.futures.process import BrokenProcessPool

import tensorflow as tf
from command_line import ending_in_one_line

import keras_asit

GOING_ON = "The same command goes on from the last whole shard."


def main():
    arguments, beam_options = parse_arguments()
    with ending_in_one_line(GOING_ON):
        write(arguments, beam_options)


def write(arguments, beam_options):
    source = arguments.source
    if arguments.labels:
        source = keras_asit.data.read_labeled_clips(source)
    converter = keras_asit.models.ASiTAudioConverter(
        arguments.sample_rate, num_mels=arguments.num_mels
    )
    try:
        index = keras_asit.data.write_records(
            source,
            arguments.folder,
            content=arguments.content,
            converter=converter,
            max_seconds=arguments.max_seconds,
            clips_per_shard=arguments.clips_per_shard,
            num_workers=arguments.workers,
            beam_options=beam_options,
        )
    except (BrokenProcessPool, tf.errors.OpError) as error:
        raise OSError(f"{str(error).splitlines()[0]} {GOING_ON}") from error
    print(
        f"{index['records']} records of {index['files'] - len(index['skipped'])} files in "
        f"{len(index['shards'])} shards, {len(index['skipped'])} files skipped"
    )
    if index.get("mean") is not None:
        print(f"mean {index['mean']}, standard deviation {index['standard_deviation']} of log-mels")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("source", metavar="FOLDER|MANIFEST", help="audio files, or a .txt, .csv or .json of them")
    add("folder", help="where to write")
    add(
        "--content",
        choices=["encoded", "waveform", "log_mel"],
        default="waveform",
        help="the files as they are, 16-bit samples, or log-mels (default: %(default)s)",
    )
    add("--labels", action="store_true", help="store labels too; see read_labeled_clips")
    add("--sample-rate", type=int, default=16000, help="Hz (default: %(default)s)")
    add("--num-mels", type=int, default=128, help="(default: %(default)s)")
    add(
        "--max-seconds",
        type=float,
        default=60.0,
        help="longer recordings become several records (default: %(default)s)",
    )
    add("--clips-per-shard", type=int, default=64, help="files (default: %(default)s)")
    add("--workers", type=int, help="processes (default: one a processor)")
    add("--runner", help="of Apache Beam, such as DirectRunner (default: without Beam)")
    arguments, rest = parser.parse_known_args()
    if arguments.runner is None:
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return arguments, None
    return arguments, [f"--runner={arguments.runner}", *rest]


if __name__ == "__main__":
    main()
