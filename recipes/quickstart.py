"""Watch ASiT learn from 165 real recordings, in about three minutes on two CPU cores.

    python recipes/quickstart.py

Takes the small network that the package brings and pre-trains it further, without labels, on the
recordings in recipes/quickstart_audio, which it has never heard. Asks how often a recording's
category is that of its nearest neighbor among all others, and that which a linear probe hears,
trained on the other folds, with averages of the spectrogram, the same network with weights at
random and the pre-trained teacher as features. Writes the teacher as a preset, the loss curve and
a picture of reconstructions to the output folder.
"""

import time
import warnings
from pathlib import Path

import lazy_loader
import numpy as np
from command_line import (
    ending_in_one_line,
    integer_from_zero,
    is_installed,
    positive_integer,
    recipe_parser,
)

keras_asit = lazy_loader.load("keras_asit")

PRESET = "asit_small_free_16k"
BATCH_SIZE = 8
MEASURES = ("nearest neighbor", "linear probe")


def main():
    arguments = parse_arguments()
    # Keras warns when the first epoch tells it how many batches there are.
    warnings.filterwarnings("ignore", message="Your input ran out of data")
    with ending_in_one_line():
        pretrain_and_compare(arguments)


def pretrain_and_compare(arguments):
    """Print the accuracies of three kinds of features; write preset and pictures."""
    import keras

    start = time.time()
    keras_asit._extras.check_extra("quickstart", "sklearn")
    pictures = is_installed("matplotlib", "loss curve and picture of reconstructions")
    keras.utils.set_random_seed(arguments.seed)
    paths = keras_asit.data.read_manifest(arguments.audio)
    categories = np.array([Path(path).parent.name for path in paths])
    converter = keras_asit.models.ASiTAudioConverter.from_preset(PRESET)
    backbone = keras_asit.models.ASiTBackbone.from_preset(PRESET)
    untrained = keras_asit.models.ASiTBackbone.from_preset(PRESET, load_weights=False)
    dataset = keras_asit.data.pretraining_dataset(
        paths,
        converter=converter,
        batch_size=BATCH_SIZE,
        crop_seconds=converter.seconds,
        patch_frames=backbone.patch_size[0],
        seed=arguments.seed,
    )
    pretrainer = build_pretrainer(backbone, arguments.seed)
    compile_pretrainer(pretrainer, arguments.epochs * (len(paths) // BATCH_SIZE))

    def accuracies_of(model):
        features, indices = keras_asit.evaluation.predict_recordings(
            model, paths, converter=converter, pad_with_silence=True
        )
        evaluation, labels = keras_asit.evaluation, categories[indices]
        return (
            evaluation.neighbor_accuracy(features, labels),
            evaluation.linear_probe_accuracy(features, labels, seed=arguments.seed),
        )

    accuracies = {
        "averages of the spectrogram": accuracies_of(mean_and_deviation(converter)),
        "untrained network": accuracies_of(untrained.feature_model()),
    }
    history = pretrainer.fit(dataset, epochs=arguments.epochs, shuffle=False)
    teacher = pretrainer.teacher.backbone
    accuracies["pre-trained teacher"] = accuracies_of(teacher.feature_model())

    record = {
        "recipe": Path(__file__).name,
        "data": {"source": arguments.audio.name, "clips": len(paths)},
        "results": dict(zip(MEASURES, accuracies["pre-trained teacher"])),
    }
    teacher.save_to_preset(arguments.output / "preset", record=record)
    converter.save_to_preset(arguments.output / "preset")
    if pictures:
        save_loss_curve(history.history, arguments.output / "losses.png")
        picture = arguments.output / "reconstruction.png"
        save_reconstruction(pretrainer, dataset, converter, picture)
    print(f"\nAccuracy over {len(set(categories))} categories: {', '.join(MEASURES)}")
    for features, (neighbor, probe) in accuracies.items():
        print(f"  {features:27} {neighbor:6.1%} {probe:6.1%}")
    print(f"{time.time() - start:.0f} s. Preset and pictures are in {arguments.output}.")


def mean_and_deviation(converter):
    import keras

    spectrogram = keras.Input(converter.audio_shape())
    averages = [keras.ops.mean(spectrogram, axis=1), keras.ops.std(spectrogram, axis=1)]
    return keras.Model(spectrogram, keras.ops.concatenate(averages, axis=-1))


def build_pretrainer(backbone, seed):
    return keras_asit.models.ASiTPretrainer(
        backbone,
        masking=keras_asit.layers.GroupMasking(seed=seed, dtype="float32"),
        num_class_prototypes=256,
        num_patch_prototypes=128,
        projection_hidden_dim=128,
        projection_bottleneck_dim=64,
        reconstruction_hidden_dim=512,
        reconstruction_bottleneck_dim=256,
    )


def compile_pretrainer(pretrainer, steps):
    schedules = keras_asit.schedules
    optimizer = keras_asit.optimizers.AdamW(
        schedules.WarmupCosine(3e-3, 1e-6, steps, warmup_steps=steps // 10),
        weight_decay=0.04,
        clipnorm=3.0,
    )
    # The heads are new, what the network has learned before is to be kept.
    optimizer = keras_asit.optimizers.layerwise_decay(optimizer, pretrainer.backbone, 0.6)
    pretrainer.compile(
        optimizer,
        teacher_momentum=schedules.WarmupCosine(0.99, 1.0, steps),
        teacher_temperature=0.04,
    )


def save_loss_curve(history, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for name, values in history.items():
        axis.plot(range(1, len(values) + 1), values, label=name.replace("_", " "))
    axis.set(xlabel="epoch", ylabel="loss", yscale="log")
    axis.legend()
    figure.savefig(path)


def save_reconstruction(pretrainer, dataset, converter, path):
    outputs = pretrainer.predict(dataset.take(1), verbose=0)
    # Some recordings are short clicks: that whose first view has the most sound.
    clip = outputs["clean"][:, 0].mean(axis=(1, 2)).argmax()
    names = ("clean", "corrupted", "reconstruction", "mask")
    panels = {name: outputs[name][clip, 0] for name in names}
    figure = keras_asit.evaluation.plot_reconstruction(**panels, converter=converter)
    figure.savefig(path)


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    add(
        "--audio",
        type=Path,
        default=Path(__file__).parent / "quickstart_audio",
        help="folder of folders of recordings, one a category (default: quickstart_audio)",
    )
    add("--output", type=Path, default=Path("runs/quickstart"), help="(default: %(default)s)")
    add("--epochs", type=positive_integer, default=40, help="(default: %(default)s)")
    add("--seed", type=integer_from_zero, default=1, help="(default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
