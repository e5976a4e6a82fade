"""Convert ASiT between PyTorch files and Keras presets.

    python recipes/convert_checkpoint.py checkpoint.pth presets/mine
    python recipes/convert_checkpoint.py presets/mine backbone.pth

IN is a PyTorch file (a training checkpoint of the original code, a file published with
PretrainedSED, a vision transformer in timm's naming) and OUT the folder of the preset to make, or
IN is such a folder (or the name of a built-in preset) and OUT a file that ends in .pt or .pth.
"""

import argparse
from pathlib import Path

from command_line import ending_in_one_line

import keras_asit


def main():
    arguments = parse_arguments()
    with ending_in_one_line():
        if arguments.output.suffix in (".pt", ".pth"):
            export(arguments)
        else:
            convert(arguments)


def convert(arguments):
    if arguments.output.exists() and any(arguments.output.iterdir()):
        raise ValueError(f"{arguments.output} is there already and not empty. Name a new folder.")
    shape = arguments.spectrogram_shape
    backbone = keras_asit.conversion.load_backbone(
        arguments.input,
        weights=arguments.weights,
        spectrogram_shape=None if shape is None else tuple(shape),
        num_heads=arguments.num_heads,
    )
    frames, mels = backbone.spectrogram_shape
    converter = keras_asit.models.ASiTAudioConverter(
        sample_rate=arguments.sample_rate, num_frames=frames, num_mels=mels
    )
    record = {"description": f"Converted from {Path(arguments.input).name}."}
    backbone.save_to_preset(arguments.output, record=record)
    converter.save_to_preset(arguments.output)
    print(
        f"{arguments.output}: {backbone.count_params():,} parameters, spectrograms of {frames} "
        f"frames x {mels} mels at {arguments.sample_rate} Hz"
    )


def export(arguments):
    backbone = keras_asit.models.ASiTBackbone.from_preset(arguments.input)
    keras_asit.conversion.export_backbone(backbone, arguments.output, layout=arguments.layout)
    print(f"{arguments.output}: {backbone.count_params():,} parameters")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("input", metavar="IN", help="PyTorch file, or preset")
    add("output", metavar="OUT", type=Path, help="folder of the preset, or file.pt, file.pth")
    add(
        "--weights",
        choices=["teacher", "student"],
        default="teacher",
        help="which network of a training checkpoint (default: %(default)s)",
    )
    add(
        "--spectrogram-shape",
        type=int,
        nargs=2,
        metavar=("FRAMES", "MELS"),
        help="that positions are interpolated for (default: the one they were trained for)",
    )
    add("--num-heads", type=int, help="(default: width // 64)")
    add("--sample-rate", type=int, default=16000, help="Hz (default: %(default)s)")
    add(
        "--layout",
        choices=["module", "training", "published"],
        default="module",
        help="of the PyTorch file to write (default: %(default)s)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
