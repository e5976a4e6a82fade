"""Export a network for a runtime that needs no Keras: TensorFlow Serving, ONNX, OpenVINO, LiteRT.

    python recipes/export.py asit_base_16k_audioset_weak --format onnx --output tagger.onnx
    python recipes/export.py runs/sounds/preset --format litert --quantize --output sounds.tflite
    python recipes/export.py runs/small/teacher --input spectrogram --output backbone.xml

PRESET is a preset (name, folder or handle) of a classifier, tagger, event detector or backbone, or
one saved as .keras, but for a backbone. Waveforms go in and the front end is inside; or, with
--input spectrogram, what the preset's converter makes of them. Before it ends, the recipe opens the
export with the runtime that it is for and compares outputs with those of Keras on recordings: where
one is off by more than 1e-4, of the largest value where that exceeds 1, there is an error and no
file. With --quantize (ONNX, LiteRT) weights are 8-bit integers, and what that costs is printed.
Choose the backend with KERAS_BACKEND; conversion runs under TensorFlow by itself. Needs the extra
`export`.
"""

from pathlib import Path

import lazy_loader
from command_line import ending_in_one_line, recipe_parser
from recordings import read_recordings

keras_asit = lazy_loader.load("keras_asit")

# Those of `keras_asit.exporting`, which the help need not import; a test compares.
FORMATS = ("tf_saved_model", "onnx", "openvino", "litert")
INPUTS = ("waveform", "spectrogram")
AUDIO = Path(__file__).with_name("quickstart_audio")
# So many of those at most are compared on, evenly spread, where no others are named.
NUM_RECORDINGS = 16


def main():
    arguments = parse_arguments()
    with ending_in_one_line(errors=(RuntimeError,)):
        export(arguments)


def export(arguments):
    recordings, what = find_recordings(arguments.recordings)
    model, converter = load(arguments.preset)
    report = keras_asit.export(
        model,
        arguments.output,
        format=arguments.format,
        input=arguments.input,
        converter=converter,
        quantize=arguments.quantize,
        recordings=recordings,
    )
    print(f"{report['path']}: {report['bytes'] / 1e6:.1f} MB")
    print(
        f"Compared with Keras on {report['sounds']} {what}: outputs differ by at most "
        f"{report['difference']:.1e}, relative {report['relative_difference']:.1e}."
    )
    if "agreement" in report:
        print(f"Decisions that are alike: {report['agreement']:.2%}")
    if "accuracy" in report:
        print(f"Accuracy: {report['accuracy']:.2%}, of Keras {report['keras_accuracy']:.2%}")


def find_recordings(sources):
    """Return what to compare on, and what to call it."""
    if sources:
        return read_recordings(sources), "recordings"
    if AUDIO.is_dir():
        paths = read_recordings([str(AUDIO)])
        return paths[:: -(-len(paths) // NUM_RECORDINGS)], f"recordings of {AUDIO.name}"
    return None, "synthetic sounds, for want of --recordings"


def load(preset):
    """Return a task or a backbone, and the converter of what has no preprocessor."""
    import keras

    models = keras_asit.models
    if preset.endswith(".keras"):
        return keras.saving.load_model(preset, compile=False), None
    for kind in (models.ASiTAudioClassifier, models.ASiTEventDetector):
        try:
            return kind.from_preset(preset), None
        except ValueError as error:
            # Only what says that it is no such task.
            if f"`{kind.size_argument}` must be given" not in str(error):
                raise
    converter = models.ASiTAudioConverter.from_preset(preset)
    return models.ASiTBackbone.from_preset(preset), converter


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    add("preset", metavar="PRESET", help="name, folder or handle of a preset, or .keras file")
    add("--output", type=Path, required=True, help="ends in .onnx, .xml, .tflite or no suffix")
    add("--format", choices=FORMATS, help="(default: as the output ends)")
    add("--input", choices=INPUTS, default="waveform", help="(default: %(default)s)")
    add("--quantize", action="store_true", help="weights to 8-bit integers (onnx, litert)")
    add(
        "--recordings",
        nargs="+",
        help="folders, manifests, audio files to compare on (default: some of the quickstart's)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
