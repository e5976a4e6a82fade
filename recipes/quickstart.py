"""Watch ASiT learn from 165 real recordings, in about three minutes on two CPU cores.

    python recipes/quickstart.py

Pre-trains a small network without labels on the recordings in recipes/quickstart_audio. Before and
after, asks how often a recording's nearest neighbours among all others are of its category, with
spectrogram averages, the untrained network and the pre-trained teacher as features. Writes the
teacher as a preset, the loss curve and a picture of reconstructions to the output folder.
"""

import argparse
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from command_line import ending_in_one_line, integer_from_zero, positive_integer

import keras_asit

SAMPLE_RATE = 16000
CROP_SECONDS = 0.5
BATCH_SIZE = 16


def main():
    arguments = parse_arguments()
    # Keras warns when the first epoch tells it how many batches there are.
    warnings.filterwarnings("ignore", message="Your input ran out of data")
    with ending_in_one_line():
        pretrain_and_compare(arguments)


def pretrain_and_compare(arguments):
    """Print the accuracies of three kinds of features; write preset and pictures."""
    start = time.time()
    keras.utils.set_random_seed(arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)
    paths = keras_asit.data.read_manifest(arguments.audio)
    dataset = keras_asit.data.pretraining_dataset(
        paths, SAMPLE_RATE, BATCH_SIZE, CROP_SECONDS, seed=arguments.seed
    )
    pretrainer = build_pretrainer(arguments.seed)
    compile_pretrainer(pretrainer, arguments.epochs * (len(paths) // BATCH_SIZE))
    windows, owners, categories = read_windows(paths)
    accuracies = {
        "spectrogram averages": neighbor_accuracy(windows.mean(axis=1), owners, categories),
        "untrained network": neighbor_accuracy(embed(pretrainer, windows), owners, categories),
    }
    history = pretrainer.fit(dataset, epochs=arguments.epochs, shuffle=False, verbose=2)
    accuracies["pre-trained teacher"] = neighbor_accuracy(
        embed(pretrainer, windows), owners, categories
    )

    save_preset(pretrainer, arguments.output / "preset")
    save_loss_curve(history.history, arguments.output / "losses.png")
    save_reconstruction(pretrainer, dataset, arguments.output / "reconstruction.png")
    print(f"\nLeave-one-out nearest-neighbour accuracy over {len(set(categories))} categories:")
    for features, accuracy in accuracies.items():
        print(f"  {features:21} {accuracy:6.1%}")
    print(f"{time.time() - start:.0f} s. Preset and pictures are in {arguments.output}.")


def build_pretrainer(seed):
    converter = build_converter()
    backbone = keras_asit.models.ASiTBackbone(
        converter.audio_shape(), num_layers=4, num_heads=2, hidden_dim=64, mlp_dim=256
    )
    return keras_asit.models.ASiTPretrainer(
        backbone,
        masking=keras_asit.layers.GroupMasking(seed=seed, dtype="float32"),
        num_class_prototypes=256,
        num_patch_prototypes=128,
        projection_hidden_dim=128,
        projection_bottleneck_dim=64,
        reconstruction_hidden_dim=128,
        reconstruction_bottleneck_dim=64,
        reconstruction_loss_weight=0.5,
    )


def build_converter():
    return keras_asit.models.ASiTAudioConverter(SAMPLE_RATE, num_frames=48)


def compile_pretrainer(pretrainer, steps):
    schedules = keras_asit.schedules
    pretrainer.compile(
        keras_asit.optimizers.AdamW(
            schedules.WarmupCosine(1e-3, 1e-6, steps, warmup_steps=steps // 10),
            weight_decay=0.04,
            clipnorm=3.0,
        ),
        teacher_momentum=schedules.WarmupCosine(0.98, 1.0, steps),
        teacher_temperature=0.04,
    )


def read_windows(paths):
    """Return spectrograms of windows of all clips, whose clip each is, and clips' categories."""
    converter = build_converter()
    length = round(CROP_SECONDS * SAMPLE_RATE)
    windows, owners, categories = [], [], []
    for waveform, path in keras_asit.data.audio_dataset(paths, SAMPLE_RATE):
        waveform = waveform.numpy()
        waveform = np.pad(waveform, (0, -len(waveform) % length)).reshape(-1, length)
        windows.append(waveform)
        owners.extend([len(categories)] * len(waveform))
        categories.append(Path(path.numpy().decode()).parent.name)
    spectrograms = keras.ops.convert_to_numpy(converter(np.concatenate(windows)))
    return spectrograms, np.array(owners), np.array(categories)


def embed(pretrainer, windows):
    """Return the teacher's [CLS] token and the mean of its patch tokens for each window."""
    tokens = pretrainer.teacher.backbone.predict(windows, batch_size=64, verbose=0)
    return np.concatenate([tokens[:, 0], tokens[:, 1:].mean(axis=1)], axis=-1)


def neighbor_accuracy(features, owners, categories):
    """Return the leave-one-out accuracy of nearest neighbours, of features averaged by clip."""
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clips = np.stack([features[owners == clip].mean(axis=0) for clip in range(len(categories))])
    classifier = make_pipeline(StandardScaler(), KNeighborsClassifier(1, metric="cosine"))
    return cross_val_score(classifier, clips, categories, cv=LeaveOneOut()).mean()


def save_preset(pretrainer, preset):
    pretrainer.teacher.backbone.save_to_preset(str(preset))
    build_converter().save_to_preset(str(preset))


def save_loss_curve(history, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for name, values in history.items():
        axis.plot(range(1, len(values) + 1), values, label=name.replace("_", " "))
    axis.set(xlabel="epoch", ylabel="loss", yscale="log")
    axis.legend()
    figure.savefig(path)


def save_reconstruction(pretrainer, dataset, path):
    outputs = pretrainer.predict(dataset.take(1), verbose=0)
    names = ("clean", "corrupted", "reconstruction", "mask")
    panels = {name: outputs[name][0, 0] for name in names}
    figure = keras_asit.evaluation.plot_reconstruction(**panels, converter=build_converter())
    figure.savefig(path)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--audio",
        type=Path,
        default=Path(__file__).parent / "quickstart_audio",
        help="folder of folders of recordings, one a category (default: quickstart_audio)",
    )
    add("--output", type=Path, default=Path("runs/quickstart"), help="(default: %(default)s)")
    add("--epochs", type=positive_integer, default=60, help="(default: %(default)s)")
    add("--seed", type=integer_from_zero, default=1, help="(default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
