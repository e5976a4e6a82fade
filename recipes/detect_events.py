"""Detect sound events in recordings of any length.

    python recipes/detect_events.py asit_base_16k_audioset_strong RECORDINGS --output events.csv
    python recipes/detect_events.py ASIT_strong_1.pt RECORDING --output events.csv events.png

DETECTOR is a preset (name, folder or handle), the file published with PretrainedSED
(ASIT_strong_1.pt), or a saved `ASiTEventDetector` (.keras). RECORDINGS are folders, searched whole,
.txt, .csv, .tsv or .json manifests, or audio files. Without output, the events are printed. What
train_events.py saved has its own thresholds and filters, which flags replace. Output is as that of
label.py: a table (.csv, .parquet), .json, or Audacity's labels (.txt, or a folder), and of one
recording a picture (.png) too; the same command goes on where it was interrupted.
"""

import argparse
from pathlib import Path

import lazy_loader
from command_line import (
    ending_in_one_line,
    number_from_zero,
    overlap,
    positive_integer,
    recipe_parser,
    share,
)
from recordings import (
    Parts,
    check_absent,
    fingerprint,
    list_unreadable,
    load_task,
    name_of,
    read_recordings,
    read_waveforms,
)
from tables import check_table, read_lines, table_path, write_lines, write_table

keras_asit = lazy_loader.load("keras_asit")

COLUMNS = ("path", "onset", "offset", "label", "score")
PICTURE = ".png"
# Recordings a part.
PART_SIZE = 16


def main():
    arguments = parse_arguments()
    with ending_in_one_line("The same command goes on from the last whole part.", (RuntimeError,)):
        detect(arguments)


def detect(arguments):
    paths = read_recordings(arguments.recordings)
    check_outputs(arguments.output, paths)
    detector = load_task(
        arguments.detector,
        keras_asit.models.ASiTEventDetector,
        keras_asit.conversion.load_event_detector,
        arguments.num_heads,
    )
    labels = read_labels(arguments.labels, detector)
    for name, own in (("threshold", detector.thresholds), ("median_steps", detector.median_steps)):
        if getattr(arguments, name) is None:
            setattr(arguments, name, own)
    (write_events if arguments.output else print_events)(detector, paths, labels, arguments)


def check_outputs(outputs, paths):
    if len(paths) > 1 and any(path.suffix == PICTURE for path in outputs):
        raise ValueError(f"A picture ({PICTURE}) is of one recording, but there are {len(paths)}.")
    for path in outputs:
        check_table(path, paths)
    check_absent(*outputs)


def print_events(detector, paths, labels, arguments):
    readable = []
    for index, recording in find_events(detector, paths, labels, arguments):
        readable.append(paths[index])
        print(name_of(paths[index]))
        for row in recording["events"]:
            times = f"{row['onset']:9.2f} {row['offset']:9.2f}"
            print(f"{times}  {row['score']:5.1%}  {row['label']}")
        print(f"{len(recording['events'])} events in {recording['seconds']:.2f} s")
    list_unreadable(paths, readable)


def write_events(detector, paths, labels, arguments):
    names = ("threshold", "overlap", "median_steps", "min_seconds")
    settings = {name: getattr(arguments, name) for name in names}
    identity = fingerprint(detector, paths, labels, settings)
    parts = Parts(paths, arguments.output[0], identity, size=PART_SIZE, suffix=".jsonl")
    files = parts.work(lambda some: find_events(detector, some, labels, arguments), write_lines)
    recordings = list(read_lines(files))
    list_unreadable(paths, [recording["path"] for recording in recordings])
    for path in arguments.output:
        if path.suffix == PICTURE:
            save_picture(detector.preprocessor.audio_converter, recordings[0], path)
        else:
            write_table(recordings, path, COLUMNS)
    parts.clear()
    number = sum(len(recording["events"]) for recording in recordings)
    outputs = ", ".join(map(str, arguments.output))
    print(f"{number} events in {len(recordings)} of {len(paths)} recordings; see {outputs}")


def find_events(detector, paths, labels, arguments):
    """Yield (index, what JSON tells of it) of each readable recording."""
    sample_rate = detector.preprocessor.audio_converter.sample_rate
    for index, waveform in read_waveforms(paths, sample_rate):
        scores = keras_asit.events.score_recording(detector, waveform, overlap=arguments.overlap)
        events = keras_asit.events.find_events(
            scores,
            detector.window_seconds / detector.num_steps,
            labels,
            threshold=arguments.threshold,
            median_steps=arguments.median_steps,
            min_seconds=arguments.min_seconds,
        )
        rows = [
            {
                "onset": round(on, 3),
                "offset": round(off, 3),
                "label": label,
                "score": round(score, 6),
            }
            for on, off, label, score in events
        ]
        yield index, {"seconds": round(len(waveform) / sample_rate, 3), "events": rows}


def read_labels(path, detector):
    """Return the names of the classes: the detector's own, unless a file has others."""
    number = detector.num_strong_classes
    if path is None:
        return detector.class_names or [f"class {index}" for index in range(number)]
    labels = Path(path).read_text(encoding="utf-8").rstrip().splitlines()
    if len(labels) != number:
        raise ValueError(
            f"{path} must have the name of a class a line, of the {number} that the detector "
            f"knows. Its lines: {len(labels)}"
        )
    return labels


def save_picture(converter, recording, path):
    import keras

    waveform = keras_asit.data.decode_audio(recording["path"], sample_rate=converter.sample_rate)
    events = [keras_asit.events.Event(**row) for row in recording["events"]]
    frames = max(1, converter.filterbank.num_frames(len(waveform)))
    spectrogram = keras.ops.convert_to_numpy(converter(waveform, num_frames=frames))
    keras_asit.evaluation.plot_events(spectrogram, events, converter=converter).savefig(path)


def odd_integer(text):
    if positive_integer(text) % 2 == 0:
        raise argparse.ArgumentTypeError(f"must be positive and odd, not {text}")
    return int(text)


def output_path(text):
    return Path(text) if Path(text).suffix == PICTURE else table_path(text)


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument

    def number(flag, default, type, help):
        add(flag, type=type, default=default, help=f"{help} (default: %(default)s)")

    add("detector", metavar="DETECTOR", help="preset, published PyTorch file, or detector.keras")
    add("recordings", metavar="RECORDINGS", nargs="+", help="folders, manifests, audio files")
    add("--labels", help="text file with the name of a class a line (default: the detector's)")
    add("--output", type=output_path, nargs="+", default=[], help="tables, and a picture (.png)")
    add("--threshold", type=share, help="of probability (default: the detector's, else 0.5)")
    number("--overlap", 0.5, overlap, "of windows")
    add(
        "--median-steps",
        type=odd_integer,
        help="length of the median filter, odd; 1 is none (default: the detector's, else 1)",
    )
    number("--min-seconds", 0.0, number_from_zero, "of an event")
    add("--num-heads", type=int, help="of the published network (default: width // 64)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
