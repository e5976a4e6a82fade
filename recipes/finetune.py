"""Fine-tune ASiT to classify sounds.

    python recipes/finetune.py SOUNDS --preset runs/small/teacher
    python recipes/finetune.py ESC-50-master --dataset esc50 --preset asit_base_16k_audioset
    python recipes/finetune.py train.json --dataset audioset --test eval.json \\
        --class-index class_labels_indices.csv --preset asit_base_16k_audioset

SOUNDS is a folder with a folder a class, or a .csv or .json manifest. A data set other than `any`
brings its own splits and the hyper-parameters published for it with AST; every flag
replaces one. Recordings are cut into windows, whose probabilities are averaged. The output folder
receives the best classifier (.keras and preset), TensorBoard's logs, a table of the classes and,
where clips have one label, the confusion matrix. However it was interrupted, the same command goes
on from the last checkpoint, exactly. Choose the backend with KERAS_BACKEND.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path

import lazy_loader
import numpy as np
from command_line import (
    POOLINGS,
    SIZES,
    WINDOW_SECONDS,
    dimensions,
    ending_in_one_line,
    finite_number,
    integer_from_zero,
    is_installed,
    number_between,
    number_from_zero,
    overlap,
    positive_integer,
    recipe_parser,
    share,
)
from run_record import add_license, run_record
from splits import read_splits

keras_asit = lazy_loader.load("keras_asit")

# Gong et al., "AST", arXiv 2104.01778, section 3, and the scripts published with it; for
# VoxCeleb1, Gong et al., "SSAST", arXiv 2110.09784, section 4.2.
ANY = {
    "epochs": 25,
    "batch_size": 48,
    "learning_rate": 1e-4,
    "seconds": None,
    "max_frames": 0,
    "max_mels": 0,
    "noise": 0.0,
    "max_shift": 0,
    "mixup": 0.0,
    "loss": "categorical",
    "decay_after": 5,
    "decay_every": 1,
    "decay_rate": 0.85,
    "warmup_steps": 0,
    "validation_share": 0.1,
    "balanced": False,
    "averaging": 0.0,
    "schedule": "steps",
    "weight_decay": 5e-7,
    "dropout": 0.0,
    "drop_path_rate": 0.0,
    "mean": None,
    "standard_deviation": None,
}
DATASETS = {
    "any": ANY,
    # Not published: found here by trial, for a small network from a random start.
    "spoken-digits": {
        **ANY,
        "epochs": 70,
        "learning_rate": 1e-3,
        "seconds": 0.495,
        "max_frames": 8,
        "max_mels": 16,
        "noise": 0.1,
        "max_shift": 8,
        "mixup": 0.2,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.05,
        "dropout": 0.1,
        "drop_path_rate": 0.1,
        "validation_share": 0.0,
    },
    "esc50": {
        **ANY,
        "learning_rate": 1e-5,
        "seconds": 5.135,
        "max_frames": 96,
        "max_mels": 24,
        "validation_share": 0.0,
        "mean": -6.6268077,
        "standard_deviation": 5.358466,
    },
    "speech-commands": {
        **ANY,
        "epochs": 30,
        "batch_size": 128,
        "learning_rate": 2.5e-4,
        "seconds": 1.295,
        "max_frames": 48,
        "max_mels": 48,
        "noise": 0.1,
        "max_shift": 10,
        "mixup": 0.6,
        "loss": "binary",
        "mean": -6.845978,
        "standard_deviation": 5.5654526,
    },
    "audioset": {
        **ANY,
        "batch_size": 12,
        "learning_rate": 5e-5,
        "seconds": 10.255,
        "max_frames": 192,
        "max_mels": 48,
        "mixup": 0.5,
        "loss": "binary",
        "decay_after": 10,
        "decay_every": 5,
        "decay_rate": 0.5,
        "warmup_steps": 1000,
        "validation_share": 0.0,
        "averaging": 0.999,
    },
    "audioset-full": {
        **ANY,
        "epochs": 5,
        "batch_size": 12,
        "learning_rate": 1e-5,
        "seconds": 10.255,
        "max_frames": 192,
        "max_mels": 48,
        "mixup": 0.5,
        "loss": "binary",
        "decay_after": 2,
        "decay_every": 1,
        "decay_rate": 0.5,
        "warmup_steps": 1000,
        "validation_share": 0.0,
        "balanced": True,
        "averaging": 0.999,
    },
    "voxceleb1": {**ANY, "epochs": 40, "seconds": 10.255, "max_frames": 48, "max_mels": 48},
}


# Flags that may differ when a run is continued; all others make it another run.
NOT_SETTINGS = (
    "source",
    "output",
    "license",
    "save_every",
    "keep",
    "verbose",
    "logs",
    "table",
    "pictures",
)
# What a run leaves: the first when it begins, the last when it is finished.
SETTINGS, CLASSIFIER, REPORT = "settings.json", "classifier.keras", "report.json"


def main():
    arguments = parse_arguments()
    # Keras warns when the first epoch tells it how many batches there are.
    warnings.filterwarnings("ignore", message="Your input ran out of data")
    outputs = {arguments.fold: arguments.output}
    if arguments.dataset == "esc50" and not arguments.fold:
        outputs = {fold: arguments.output / f"fold{fold}" for fold in range(1, 6)}
    with ending_in_one_line("The same command goes on from the last checkpoint."):
        # Before anything long: this is where it would end in vain.
        make_outputs(outputs.values())
        arguments.logs = is_installed("tensorboard", "TensorBoard's logs")
        arguments.table = is_installed("sklearn", "table of the classes")
        arguments.pictures = is_installed("matplotlib", "picture of the confusion matrix")
        reports = [
            finetune(read_splits(arguments, fold), arguments, output)
            for fold, output in outputs.items()
        ]
    if len(reports) > 1:
        accuracies = [report["accuracy"] for report in reports]
        print(f"Accuracy over {len(reports)} folds: {np.mean(accuracies):.1%}")


def make_outputs(folders):
    """Make folders, or raise `ValueError` if all hold finished runs, or one what is not ours."""
    finished = all((folder / REPORT).exists() for folder in folders)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (CLASSIFIER, REPORT):
            if (folder / name).exists() and (finished or not (folder / SETTINGS).exists()):
                raise ValueError(
                    f"{folder} holds {name} of another run; delete it or choose another --output"
                )


def claim(folder, splits, arguments):
    """Keep a folder for runs of these settings, or raise `ValueError` if it is one of others."""
    ours = {name: value for name, value in vars(arguments).items() if name not in NOT_SETTINGS}
    for name, clips in splits.items():
        labels = [str(label) for label in clips.labels]
        names = "\n".join([*map(str, clips.paths), *labels, *clips.class_names])
        ours[f"{name} clips"] = hashlib.sha256(os.fsencode(names)).hexdigest()
    text = json.dumps(ours, indent=2, default=str)
    path = folder / SETTINGS
    if not path.exists():
        keras_asit._files.write_whole(path, text.encode())
    theirs, ours = json.loads(path.read_text()), json.loads(text)
    differing = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    if differing:
        raise ValueError(
            f"{folder} holds a run of other settings: {', '.join(differing)}. Repeat it as it was, "
            "or choose another --output."
        )


def finetune(splits, arguments, output):
    """Train on splits, report on the test clips, and leave all results in a folder."""
    import keras

    claim(output, splits, arguments)
    if (output / REPORT).exists():  # A fold of before.
        return json.loads((output / REPORT).read_text())
    keras.utils.set_random_seed(arguments.seed)
    # A part of the clips may have one label each by chance.
    multi_label = any(clips.multi_label for clips in splits.values())
    classifier = build_classifier(splits["train"].class_names, multi_label, arguments)
    compile_classifier(classifier, arguments, max(1, len(splits["train"]) // arguments.batch_size))
    print(", ".join(f"{len(clips)} clips for {name}" for name, clips in splits.items()))
    best = {}
    if "validation" in splits:
        monitor = "val_mean_average_precision" if multi_label else "val_accuracy"
        best = {"monitor": monitor, "mode": "max"}
    checkpoints = keras_asit.callbacks.Checkpoints(
        output / "checkpoints", save_freq=arguments.save_every, keep=arguments.keep, **best
    )
    callbacks = build_callbacks(checkpoints, splits.get("validation"), arguments, output)
    try:
        fit(classifier, splits["train"], checkpoints, callbacks, arguments)
    except FloatingPointError as error:
        raise FloatingPointError(f"{error} Lower --learning-rate.") from None
    if best:
        checkpoints.load_best(classifier)
    classifier.save(output / CLASSIFIER)
    results = measure(classifier, splits["test"], arguments, output)
    data = {f"clips for {name}": len(clips) for name, clips in splits.items()}
    data, table = {"source": arguments.source, **data}, output / "epochs.csv"
    record = run_record(arguments, NOT_SETTINGS, data=data, table=table, results=results)
    classifier.save_to_preset(output / "preset", record=record)
    keras_asit._files.write_whole(output / REPORT, json.dumps(results, indent=2).encode())
    shutil.rmtree(output / "checkpoints")
    return results


def fit(classifier, clips, checkpoints, callbacks, arguments):
    """Train, or raise `FloatingPointError` if that leads to what is not finite."""
    checkpoints.fit(
        classifier,
        lambda start: build_dataset(clips, arguments, start, checkpoints.log),
        arguments.epochs,
        callbacks=callbacks,
        verbose=arguments.verbose,
    )
    # The loss of the last step is from before that step.
    weights = [np.asarray(weight, "float32") for weight in classifier.get_weights()]
    with np.errstate(over="ignore", invalid="ignore"):
        norms = [np.linalg.norm(weight) for weight in weights]
    if not np.isfinite(norms).all():
        raise FloatingPointError(
            f"The norms of weights are not finite after epoch {arguments.epochs}."
        )


def build_classifier(class_names, multi_label, arguments):
    models = keras_asit.models
    converter = build_converter(arguments)
    shape = converter.audio_shape()
    if arguments.preset:
        backbone = models.ASiTBackbone.from_preset(
            arguments.preset,
            load_weights=not arguments.from_scratch,
            spectrogram_shape=shape,
            drop_path_rate=arguments.drop_path_rate,
        )
    else:
        backbone = models.ASiTBackbone(shape, **dimensions(arguments))
    head = models.ASiTAudioClassifier.from_preset(arguments.preset) if arguments.keep_head else None
    backbone.trainable = not arguments.freeze
    if arguments.lora_rank:
        backbone.enable_lora(arguments.lora_rank)
    classifier = models.ASiTAudioClassifier(
        backbone,
        len(class_names),
        models.ASiTAudioClassifierPreprocessor(converter),
        class_names=class_names,
        multi_label=multi_label,
        pooling=head.pooling if head else arguments.pooling,
        dropout=arguments.dropout,
        augmentation=build_augmentation(arguments),
        compile=False,
    )
    if head:
        classifier.copy_head(head)
    return classifier


def build_augmentation(arguments):
    import keras

    layers, seed = [], arguments.seed
    if arguments.max_frames or arguments.max_mels:
        layers.append(
            keras_asit.layers.SpecAugment(arguments.max_frames, arguments.max_mels, seed=seed)
        )
    if arguments.noise or arguments.max_shift:
        layers.append(
            keras_asit.layers.NoiseAndShift(arguments.noise, arguments.max_shift, seed=seed)
        )
    return keras.Sequential(layers, name="augmentation") if layers else None


def build_converter(arguments):
    converter = keras_asit.models.ASiTAudioConverter()
    if arguments.preset:
        converter = converter.from_preset(arguments.preset)
    changed = {"mean": arguments.mean, "standard_deviation": arguments.standard_deviation}
    changed = {name: value for name, value in changed.items() if value is not None}
    if arguments.seconds is not None:
        changed["num_frames"] = converter.frames_in(arguments.seconds)
    return keras_asit.models.ASiTAudioConverter(**{**converter.get_config(), **changed})


def build_dataset(clips, arguments, start, log):
    converter = build_converter(arguments)
    return keras_asit.data.labeled_dataset(
        clips,
        sample_rate=converter.sample_rate,
        batch_size=arguments.batch_size,
        crop_seconds=converter.seconds,
        one_hot=True,
        mixup=arguments.mixup,
        weights=keras_asit.data.balanced_weights(clips) if arguments.balanced else None,
        shuffle=True,
        seed=arguments.seed,
        drop_remainder=len(clips) >= arguments.batch_size,
        start=start,
        log=log,
    )


def compile_classifier(classifier, arguments, steps_per_epoch):
    import keras

    schedules = keras_asit.schedules
    steps = arguments.epochs * steps_per_epoch
    warmup = min(arguments.warmup_steps, steps - 1)
    if arguments.schedule == "cosine":
        rate = schedules.WarmupCosine(arguments.learning_rate, 0.0, steps, warmup_steps=warmup)
    else:
        first = arguments.decay_after * steps_per_epoch
        rate = schedules.WarmupStepDecay(
            arguments.learning_rate,
            arguments.decay_rate,
            first,
            decay_steps=arguments.decay_every * steps_per_epoch,
            warmup_steps=min(warmup, first),
        )
    optimizer = keras_asit.optimizers.AdamW(
        rate,
        weight_decay=arguments.weight_decay,
        beta_1=0.95,
        use_ema=arguments.averaging > 0,
        ema_momentum=arguments.averaging,
    )
    if arguments.layer_decay < 1:
        optimizer = keras_asit.optimizers.layerwise_decay(
            optimizer, classifier.backbone, arguments.layer_decay
        )
    losses = {
        "categorical": keras.losses.CategoricalCrossentropy,
        "binary": keras.losses.BinaryCrossentropy,
    }
    binary = classifier.multi_label or arguments.loss == "binary"
    classifier.compile(
        optimizer,
        losses["binary" if binary else "categorical"](
            from_logits=True, label_smoothing=arguments.label_smoothing
        ),
        metrics=[] if classifier.multi_label else [keras.metrics.CategoricalAccuracy("accuracy")],
    )


def build_callbacks(checkpoints, validation, arguments, output):
    import keras

    callbacks = [keras_asit.callbacks.StopOnNonFinite(checkpoints.log.files)]
    if arguments.averaging:
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if validation is not None:
        callbacks.append(
            keras_asit.callbacks.ValidateRecordings(validation, batch_size=arguments.batch_size)
        )
    if arguments.logs:
        callbacks.append(keras.callbacks.TensorBoard(output / "logs"))
    return [*callbacks, keras_asit.callbacks.LogTable(output / "epochs.csv")]


def measure(classifier, clips, arguments, output):
    """Print and return what the classifier is worth on clips; leave a picture and a table."""
    probabilities, indices = keras_asit.evaluation.predict_recordings(
        classifier, clips.paths, overlap=arguments.overlap, batch_size=arguments.batch_size
    )
    labels = clips.label_matrix()[indices]
    results = {"clips": len(labels)}
    if not classifier.multi_label:
        truth, predictions = labels.argmax(axis=1), probabilities.argmax(axis=1)
        results["accuracy"] = float(np.mean(truth == predictions))
        if arguments.pictures:
            picture = keras_asit.evaluation.plot_confusion(truth, predictions, clips.class_names)
            picture.savefig(output / "confusion.png")
    metrics = keras_asit.metrics
    for metric in (metrics.MeanAveragePrecision, metrics.MeanAUC, metrics.DPrime):
        metric = metric(labels.shape[1], len(labels))
        metric.update_state(labels, probabilities)
        results[metric.name] = float(metric.result())
    if arguments.table:
        write_table(labels, probabilities, clips.class_names, output / "classes.csv")
    print("Test: " + ", ".join(f"{name} {value:.4g}" for name, value in results.items()))
    print(f"Results: {output}")
    # JSON has no infinite numbers, such as d-prime is where all clips are told apart.
    return {name: value if np.isfinite(value) else None for name, value in results.items()}


def write_table(labels, probabilities, class_names, path):
    rows = keras_asit.evaluation.class_table(labels, probabilities, class_names)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    add("source", metavar="SOUNDS", help="folder or manifest")
    add("--dataset", choices=DATASETS, default="any", help="(default: %(default)s)")
    add("--preset", help="name, folder or handle to start from (default: a random start)")
    add("--from-scratch", action="store_true", help="take the preset's architecture only")
    add("--output", type=Path, default=Path("runs/finetune"), help="(default: %(default)s)")
    add("--seed", type=int, default=1, help="of everything random (default: %(default)s)")
    add_license(parser)
    add("--verbose", type=int, default=1, help="as in Keras: 1 progress bar, 2 a line an epoch")
    add("--save-every", type=positive_integer, default=1000, help="batches; and after each epoch")
    add("--keep", type=positive_integer, default=2, help="checkpoints (default: %(default)s)")

    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--validation", help="folder or manifest that chooses the best epoch")
    add("--test", help="folder or manifest (default: a fifth of each class)")
    add("--class-index", help="AudioSet's class_labels_indices.csv")
    add("--audio-folder", help="where a manifest's relative paths start")
    add(
        "--missing", choices=["error", "skip"], default="error", help="files (default: %(default)s)"
    )
    add("--fold", type=int, choices=range(1, 6), help="of ESC-50 (default: all five in turn)")
    add("--split-file", help="VoxCeleb1's iden_split.txt (default: that in the folder)")
    add("--task", choices=["digit", "speaker"], default="digit", help="of the spoken digits")
    add("--labels-per-class", type=positive_integer, help="train on so few clips, drawn at random")
    published(group, "--validation-share", share, "of training clips; 0: the last epoch counts")
    published(group, "--seconds", number_between(WINDOW_SECONDS), "of a window (any: the preset's)")
    published(group, "--mean", finite_number, "of log-mels (any: the preset's)")
    published(
        group, "--standard-deviation", number_between(1e-6), "of log-mels (any: the preset's)"
    )
    published(group, "--balanced", bool, "draw clips of rare classes more often")
    group.add_argument("--overlap", type=overlap, default=0.0, help="of windows in the test")

    group = parser.add_argument_group("model")
    add = group.add_argument
    add("--size", choices=SIZES, default="tiny", help="without a preset (default: %(default)s)")
    add("--hidden-dim", type=positive_integer, help="without a preset (default: that of the size)")
    add("--num-layers", type=positive_integer, help="without a preset (default: that of the size)")
    add("--num-heads", type=positive_integer, help="without a preset (default: that of the size)")
    add("--pooling", choices=POOLINGS, default="cls_and_mean")
    published(group, "--dropout", share, "before the head")
    published(group, "--drop-path-rate", share)
    add("--keep-head", action="store_true", help="start classes from the preset's, by their names")
    add("--freeze", action="store_true", help="train the head only")
    add(
        "--lora-rank", type=integer_from_zero, default=0, help="low-rank adaptation (default: none)"
    )

    group = parser.add_argument_group("optimization")
    published(group, "--epochs", positive_integer)
    published(group, "--batch-size", positive_integer)
    published(group, "--learning-rate", number_from_zero)
    published(group, "--loss", str, "cross-entropy", choices=["categorical", "binary"])
    published(group, "--schedule", str, "of the learning rate", choices=["steps", "cosine"])
    published(group, "--decay-after", positive_integer, "epochs, of steps")
    published(group, "--decay-every", positive_integer, "epochs, of steps")
    published(group, "--decay-rate", share, "of steps")
    published(group, "--warmup-steps", integer_from_zero)
    published(group, "--mixup", share, "how often a clip is mixed")
    published(group, "--max-frames", integer_from_zero, "hidden by SpecAugment")
    published(group, "--max-mels", integer_from_zero, "hidden by SpecAugment")
    published(group, "--noise", number_from_zero, "largest amplitude of noise in a spectrogram")
    published(group, "--max-shift", integer_from_zero, "frames that a spectrogram is rolled by")
    published(group, "--averaging", share, "momentum of the average of weights; 0: none")
    group.add_argument("--label-smoothing", type=share, default=0.0, help="(default: %(default)s)")
    published(group, "--weight-decay", number_from_zero)
    group.add_argument("--layer-decay", type=share, default=1.0, help="of learning rates, a layer")

    arguments = parser.parse_args()
    if arguments.keep_head and not arguments.preset:
        parser.error("--keep-head needs --preset, that of a classifier")
    for name, value in DATASETS[arguments.dataset].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def published(group, flag, type, help="", **kwargs):
    """Add a flag whose default is the data set's."""
    if type is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, help=help)
    else:
        help = f"{help} (default: the data set's)".strip()
        group.add_argument(flag, type=type, help=help, **kwargs)


if __name__ == "__main__":
    main()
