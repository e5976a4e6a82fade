"""What frozen features are worth: a linear probe and nearest neighbors.

    python recipes/linear_probe.py runs/small/teacher SOUNDS
    python recipes/linear_probe.py runs/small/teacher train.csv --test test.csv \\
        --labels-per-class 10 --seeds 3 --random

SOUNDS is a folder with a folder a class, or a .csv or .json manifest. Recordings are embedded once,
by windows that are averaged, and nothing of the network is trained. The probe is a logistic
regression whose regularization is chosen by cross-validation in the training clips; neighbors
are by cosine similarity. Both read features standardized by the training clips.
"""

import argparse

import keras
import numpy as np
from command_line import ending_in_one_line, integer_from_zero, overlap, positive_integer

import keras_asit
from keras_asit._extras import check_extra
from keras_asit.layers.pooling import DEFAULT_POOLING, POOLINGS

TEST_SHARE = 0.2


def main():
    arguments = parse_arguments()
    with ending_in_one_line():
        compare(arguments)


def compare(arguments):
    """Print the accuracies of the preset and, if asked for, of an untrained network."""
    check_extra("probe", "sklearn")
    clips = keras_asit.data.read_labeled_clips(arguments.source)
    clips.label_indices()
    test = arguments.test and keras_asit.data.read_labeled_clips(
        arguments.test, class_names=clips.class_names
    )
    keras.utils.set_random_seed(arguments.seed)
    networks = {"preset": True} | ({"untrained": False} if arguments.random else {})
    table = {}
    for name, load_weights in networks.items():
        model, converter = build_model(arguments, load_weights)
        embedded = embed(model, converter, clips, arguments)
        embedded_test = test and embed(model, converter, test, arguments)
        seeds = range(arguments.seed, arguments.seed + arguments.seeds)
        draws = [draw(embedded, embedded_test, arguments, seed) for seed in seeds]
        table[name] = [measure(*sets, arguments, seed) for sets, seed in zip(draws, seeds)]
    (_, labels), (_, test_labels) = draws[0]
    print(f"{len(labels)} clips for training, {len(test_labels)} for test, {arguments.pooling}")
    print(f"{'accuracy':12}{'linear probe':>20}{describe(arguments.neighbors):>24}")
    for name, accuracies in table.items():
        probe, neighbors = (summarize(values) for values in zip(*accuracies))
        print(f"{name:12}{probe:>20}{neighbors:>24}")


def build_model(arguments, load_weights):
    models = keras_asit.models
    backbone = models.ASiTBackbone.from_preset(arguments.preset, load_weights=load_weights)
    frames, mels = backbone.spectrogram_shape
    converter = models.ASiTAudioConverter.from_preset(
        arguments.preset, num_frames=frames, num_mels=mels
    )
    return backbone.feature_model(arguments.pooling, arguments.blocks), converter


def embed(model, converter, clips, arguments):
    """Return the features and the labels of all clips that can be read."""
    features, indices = keras_asit.evaluation.predict_recordings(
        model,
        clips.paths,
        converter=converter,
        overlap=arguments.overlap,
        pad_with_silence=True,
        batch_size=arguments.batch_size,
        verbose=1,
    )
    return features, clips.label_indices()[indices]


def draw(clips, test, arguments, seed):
    """Return features and labels for training and for test, as the seed splits and draws them."""
    from sklearn.model_selection import train_test_split

    (features, labels), chosen = clips, np.arange(len(clips[1]))
    if test is None:
        chosen, rest = train_test_split(
            chosen, test_size=TEST_SHARE, stratify=labels, random_state=seed
        )
        test = features[rest], labels[rest]
    if arguments.labels_per_class:
        chosen = draw_per_class(chosen, labels[chosen], arguments.labels_per_class, seed)
    return (features[chosen], labels[chosen]), test


def draw_per_class(indices, labels, number, seed):
    generator = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < number:
        raise ValueError(f"A class has {counts.min()} clips for training, fewer than {number}.")
    members = [indices[labels == index] for index in classes]
    return np.concatenate([generator.choice(each, number, replace=False) for each in members])


def measure(train, test, arguments, seed):
    """Return the accuracies of the probe and of the nearest neighbors."""
    test = dict(zip(("test_features", "test_labels"), test))
    evaluation = keras_asit.evaluation
    return (
        evaluation.linear_probe_accuracy(*train, **test, seed=seed),
        evaluation.neighbor_accuracy(*train, **test, num_neighbors=arguments.neighbors),
    )


def describe(number):
    return "nearest neighbor" if number == 1 else f"{number} nearest neighbors"


def summarize(accuracies):
    """Return the mean of accuracies and, of several, their standard deviation."""
    spread = f" ± {np.std(accuracies, ddof=1):.1%}" if len(accuracies) > 1 else ""
    return f"{np.mean(accuracies):.1%}{spread}"


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument

    def number(flag, default, type, help):
        add(flag, type=type, default=default, help=f"{help} (default: %(default)s)")

    add("preset", metavar="PRESET", help="name, folder or handle")
    add("source", metavar="SOUNDS", help="folder or manifest, with one label a file")
    add("--test", help="folder or manifest (default: a fifth of each class)")
    add("--pooling", choices=POOLINGS, default=DEFAULT_POOLING)
    add(
        "--blocks",
        type=int,
        nargs="+",
        help="blocks to pool, -1 the last (default: an early one and the last)",
    )
    add("--labels-per-class", type=positive_integer, help="train on so few clips, drawn at random")
    number("--seeds", 1, positive_integer, "splits and draws to average")
    number("--seed", 1, integer_from_zero, "the first of them")
    add("--random", action="store_true", help="measure an untrained network of the size as well")
    number("--neighbors", 1, positive_integer, "that vote")
    number("--overlap", 0.0, overlap, "of windows")
    number("--batch-size", 32, positive_integer, "windows at once")
    return parser.parse_args()


if __name__ == "__main__":
    main()
