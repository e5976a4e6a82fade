"""Detect sound events in a recording of any length.

    python recipes/detect_events.py ASIT_strong_1.pt RECORDING --labels labels.txt

WEIGHTS is a file published with PretrainedSED (ASIT_strong_1.pt or ASIT_weak.pt), or a saved
`ASiTEventDetector` (.keras). The events go to standard output and, by the endings of the names, to
a table (.csv), to Audacity's labels (.txt) and to a picture (.png).
"""

import argparse
from pathlib import Path

import keras
from command_line import ending_in_one_line

import keras_asit


def main():
    arguments = parse_arguments()
    with ending_in_one_line(errors=(RuntimeError,)):
        detect(arguments)


def detect(arguments):
    detector = load_detector(arguments)
    labels = read_labels(arguments.labels, detector.num_strong_classes)
    converter = detector.preprocessor.audio_converter
    waveform = keras_asit.data.decode_audio(arguments.recording, sample_rate=converter.sample_rate)
    scores = keras_asit.events.score_recording(detector, waveform, overlap=arguments.overlap)
    events = keras_asit.events.find_events(
        scores,
        detector.window_seconds / detector.num_steps,
        labels,
        threshold=arguments.threshold,
        median_steps=arguments.median_steps,
        min_seconds=arguments.min_seconds,
    )
    for event in events:
        print(f"{event.onset:9.2f} {event.offset:9.2f}  {event.score:5.1%}  {event.label}")
    print(f"{len(events)} events in {len(waveform) / converter.sample_rate:.2f} s")
    for path in arguments.output:
        if path.suffix == ".png":
            save_picture(converter, waveform, events, path)
        else:
            keras_asit.events.write_events(events, path)


def read_labels(path, number):
    """Return the names of a number of classes."""
    if path is None:
        return [f"class {index}" for index in range(number)]
    labels = Path(path).read_text(encoding="utf-8").rstrip().splitlines()
    if len(labels) != number:
        raise ValueError(
            f"{path} must have the name of a class a line, of the {number} that the detector "
            f"knows. Its lines: {len(labels)}"
        )
    return labels


def load_detector(arguments):
    if Path(arguments.weights).suffix == ".keras":
        detector = keras.saving.load_model(arguments.weights)
        if not isinstance(detector, keras_asit.models.ASiTEventDetector):
            raise ValueError(
                f"{arguments.weights} must hold an ASiTEventDetector. It holds: "
                f"{type(detector).__name__}"
            )
        return detector
    return keras_asit.conversion.load_event_detector(
        arguments.weights, num_heads=arguments.num_heads
    )


def save_picture(converter, waveform, events, path):
    frames = max(1, converter.filterbank.num_frames(len(waveform)))
    spectrogram = keras.ops.convert_to_numpy(converter(waveform, num_frames=frames))
    keras_asit.evaluation.plot_events(spectrogram, events, converter=converter).savefig(path)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("weights", metavar="WEIGHTS", help="published PyTorch file, or detector.keras")
    add("recording", metavar="RECORDING", help="an audio file")
    add("--labels", help="text file with the name of a class a line (default: class 0, 1, ...)")
    add("--output", type=Path, nargs="+", default=[], help="files to write: .csv, .txt, .png")
    add("--threshold", type=float, default=0.5, help="(default: %(default)s)")
    add("--overlap", type=float, default=0.5, help="of windows (default: %(default)s)")
    add("--median-steps", type=int, default=1, help="of the median filter, odd (default: 1, none)")
    add("--min-seconds", type=float, default=0.0, help="of an event (default: %(default)s)")
    add("--num-heads", type=int, help="of the published network (default: width // 64)")
    arguments = parser.parse_args()
    for path in arguments.output:
        if path.suffix not in (".csv", ".txt", ".png"):
            parser.error(f"--output must end in .csv, .txt or .png, not as {path}")
    if not 0 <= arguments.threshold <= 1:
        parser.error(f"--threshold must be between 0 and 1, not {arguments.threshold}")
    if arguments.median_steps < 1 or arguments.median_steps % 2 == 0:
        parser.error(f"--median-steps must be positive and odd, not {arguments.median_steps}")
    if not arguments.min_seconds >= 0:
        parser.error(f"--min-seconds must be at least 0, not {arguments.min_seconds}")
    return arguments


if __name__ == "__main__":
    main()
