"""Detect sound events in a recording of any length.

    python recipes/detect_events.py asit_base_16k_audioset_strong RECORDING --labels labels.txt
    python recipes/detect_events.py ASIT_strong_1.pt RECORDING --output events.csv events.png

DETECTOR is a preset (name, folder or handle), a file published with PretrainedSED (ASIT_strong_1.pt
or ASIT_weak.pt), or a saved `ASiTEventDetector` (.keras). The events go to standard output and, by
the endings of the names, to a table (.csv), to Audacity's labels (.txt) and to a picture (.png).
"""

import argparse
from pathlib import Path

import keras
from command_line import ending_in_one_line, number_from_zero, overlap, positive_integer, share

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
    source = arguments.detector
    if Path(source).suffix == ".keras":
        detector = keras.saving.load_model(source)
        has_preprocessor = getattr(detector, "preprocessor", None) is not None
        if isinstance(detector, keras_asit.models.ASiTEventDetector) and has_preprocessor:
            return detector
        raise ValueError(
            f"{source} must hold an ASiTEventDetector with a preprocessor. It holds: "
            f"{type(detector).__name__}"
        )
    if Path(source).suffix in (".pt", ".pth"):
        return keras_asit.conversion.load_event_detector(source, num_heads=arguments.num_heads)
    return keras_asit.models.ASiTEventDetector.from_preset(source)


def save_picture(converter, waveform, events, path):
    frames = max(1, converter.filterbank.num_frames(len(waveform)))
    spectrogram = keras.ops.convert_to_numpy(converter(waveform, num_frames=frames))
    keras_asit.evaluation.plot_events(spectrogram, events, converter=converter).savefig(path)


def odd_integer(text):
    if positive_integer(text) % 2 == 0:
        raise argparse.ArgumentTypeError(f"must be positive and odd, not {text}")
    return int(text)


def output_path(text):
    path = Path(text)
    if path.suffix not in (".csv", ".txt", ".png"):
        raise argparse.ArgumentTypeError(f"must end in .csv, .txt or .png, not as {text}")
    return path


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument

    def number(flag, default, type, help):
        add(flag, type=type, default=default, help=f"{help} (default: %(default)s)")

    add("detector", metavar="DETECTOR", help="preset, published PyTorch file, or detector.keras")
    add("recording", metavar="RECORDING", help="an audio file")
    add("--labels", help="text file with the name of a class a line (default: class 0, 1, ...)")
    add("--output", type=output_path, nargs="+", default=[], help="files: .csv, .txt, .png")
    number("--threshold", 0.5, share, "of probability")
    number("--overlap", 0.5, overlap, "of windows")
    number("--median-steps", 1, odd_integer, "length of the median filter, odd; 1 is none")
    number("--min-seconds", 0.0, number_from_zero, "of an event")
    add("--num-heads", type=int, help="of the published network (default: width // 64)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
