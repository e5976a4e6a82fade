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

import json
import warnings

import lazy_loader
import numpy as np
from command_line import FROM_CHECKPOINT, ending_in_one_line, is_installed
from devices import on_devices
from finetuning_flags import parse_arguments
from splits import read_splits
from training import (
    REPORT,
    build_backbone,
    build_converter,
    build_optimizer,
    claim,
    finish,
    finite_results,
    make_outputs,
    shared,
    train,
    write_classes,
)

keras_asit = lazy_loader.load("keras_asit")

CLASSIFIER = "classifier.keras"
# Patches of any size fit into it.
SHORTEST_SECONDS = 0.5


def main():
    arguments = parse_arguments(__doc__)
    # Keras warns when the first epoch tells it how many batches there are.
    warnings.filterwarnings("ignore", message="Your input ran out of data")
    with ending_in_one_line(FROM_CHECKPOINT), on_devices(arguments):
        finetune_all(arguments)


def finetune_all(arguments):
    """Train and report; on each fold of ESC-50, unless one was chosen."""
    outputs = {arguments.fold: arguments.output}
    if arguments.dataset == "esc50" and not arguments.fold:
        outputs = {fold: arguments.output / f"fold{fold}" for fold in range(1, 6)}
    # Before anything long: this is where it would end in vain.
    make_outputs(outputs.values(), CLASSIFIER)
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


def finetune(splits, arguments, output):
    """Train on splits, report on the test clips, and leave all results in a folder."""
    import keras

    if arguments.seconds is None:
        arguments.seconds = window_of(splits["train"], arguments)
    contents = {
        f"{name} clips": [*map(str, clips.paths), *map(str, clips.labels), *clips.class_names]
        for name, clips in splits.items()
    }
    claim(output, contents, arguments)
    report = shared(output, arguments) / REPORT
    if report.exists():  # A fold of before.
        return json.loads(report.read_text())
    keras.utils.set_random_seed(arguments.seed)
    # A part of the clips may have one label each by chance.
    multi_label = any(clips.multi_label for clips in splits.values())
    classifier = build_classifier(splits["train"].class_names, multi_label, arguments)
    compile_classifier(classifier, arguments, max(1, len(splits["train"]) // arguments.batch_size))
    print(", ".join(f"{len(clips)} clips for {name}" for name, clips in splits.items()))
    train(
        classifier,
        lambda start, log: build_dataset(splits["train"], arguments, start, log),
        splits.get("validation"),
        arguments,
        output,
        monitor="val_mean_average_precision" if multi_label else "val_accuracy",
    )
    classifier.save(output / CLASSIFIER)
    results = measure(classifier, splits["test"], arguments, output)
    paths = {name: clips.paths for name, clips in splits.items()}
    finish(classifier, paths, results, arguments, output)
    return results


def window_of(clips, arguments):
    """Return the seconds of a window: the preset's, or those of the longest clip, if shorter."""
    stated = keras_asit.data.decoding.stated_seconds
    longest = max((stated(path) for path in clips.paths), default=0.0)
    return min(build_converter(arguments).seconds, max(longest, SHORTEST_SECONDS))


def build_classifier(class_names, multi_label, arguments):
    models = keras_asit.models
    converter = build_converter(arguments)
    backbone = build_backbone(converter.audio_shape(), arguments)
    head = models.ASiTAudioClassifier.from_preset(arguments.preset) if arguments.keep_head else None
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
        num_hosts=arguments.num_hosts,
        host_index=arguments.host_index,
        start=start,
        log=log,
    )


def compile_classifier(classifier, arguments, steps_per_epoch):
    import keras

    losses = {
        "categorical": keras.losses.CategoricalCrossentropy,
        "binary": keras.losses.BinaryCrossentropy,
    }
    binary = classifier.multi_label or arguments.loss == "binary"
    classifier.compile(
        build_optimizer(classifier.backbone, steps_per_epoch, arguments),
        losses["binary" if binary else "categorical"](
            from_logits=True, label_smoothing=arguments.label_smoothing
        ),
        metrics=[] if classifier.multi_label else [keras.metrics.CategoricalAccuracy("accuracy")],
    )


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
        table = keras_asit.evaluation.class_table(labels, probabilities, clips.class_names)
        write_classes(table, output)
    return finite_results("test", results, output)


if __name__ == "__main__":
    main()
