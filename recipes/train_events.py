"""Train a detector of sound events on strong labels: what is heard, from when to when.

    python recipes/train_events.py train.tsv --validation validation.tsv --test test.tsv \\
        --preset asit_base_16k_audioset
    python recipes/train_events.py audioset_train_strong.tsv --audio-folder AUDIO --missing skip \\
        --class-index mid_to_display_name.tsv --preset asit_base_16k_audioset

EVENTS is a .csv or .tsv table with a row an event, such as DCASE's (filename, onset, offset,
event_label) or AudioSet Strong's (segment_id, start_time_seconds, end_time_seconds, label), or a
folder of recordings with labels of Audacity beside them. Recordings are cut into windows; those
without an event are negatives. Steps of 40 ms learn by binary cross-entropy. After the best epoch,
each class is given the threshold and the median filter that find most of its events in the data for
validation, by F1; detect_events.py uses them. However it was interrupted, the same command goes on
from the last checkpoint, exactly. Needs the extra `events`. Choose the backend with KERAS_BACKEND.
"""

import warnings

import lazy_loader
import numpy as np
from command_line import (
    FROM_CHECKPOINT,
    WINDOW_SECONDS,
    ending_in_one_line,
    is_installed,
    number_between,
    number_from_zero,
    overlap,
    recipe_parser,
    settle_size,
    share,
)
from devices import on_devices
from recordings import list_unreadable, read_waveforms
from splits import read_given
from training import (
    add_data_flags,
    add_model_flags,
    add_optimization_flags,
    add_run_flags,
    add_setting,
    build_backbone,
    build_converter,
    build_optimizer,
    claim,
    finish,
    finite_results,
    make_outputs,
    train,
    write_classes,
)

keras_asit = lazy_loader.load("keras_asit")

DETECTOR = "detector.keras"
# Of a window; PretrainedSED's has 250 of them in 10 seconds.
STEP_SECONDS = 0.04
DEFAULTS = {
    "epochs": 10,
    "batch_size": 8,
    "learning_rate": 5e-4,
    "schedule": "cosine",
    "decay_after": 5,
    "decay_every": 1,
    "decay_rate": 0.85,
    "warmup_steps": 50,
    "mixup": 0.0,
    "averaging": 0.0,
    "weight_decay": 0.01,
    "drop_path_rate": 0.1,
}


def main():
    arguments = parse_arguments()
    # Keras warns when the first epoch tells it how many batches there are, setuptools of packages
    # that sed_scores_eval needs.
    warnings.filterwarnings("ignore", message="Your input ran out of data")
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    with ending_in_one_line(FROM_CHECKPOINT):
        # Before anything long: this is where it would end in vain.
        keras_asit._extras.check_extra("events", "sed_scores_eval")
        with on_devices(arguments):
            make_outputs([arguments.output], DETECTOR)
            arguments.logs = is_installed("tensorboard", "TensorBoard's logs")
            arguments.pictures = is_installed("matplotlib", "curves in the report")
            train_events(read_splits(arguments), arguments, arguments.output)


def train_events(splits, arguments, output):
    """Train on splits, choose thresholds, report, and leave all results in a folder."""
    import keras

    contents = {
        name: [*map(str, zip(events.paths, events.events, events.seconds)), *events.class_names]
        for name, events in splits.items()
    }
    claim(output, contents, arguments)
    keras.utils.set_random_seed(arguments.seed)
    detector = build_detector(splits["train"], arguments)
    print(", ".join(f"{len(events)} recordings for {name}" for name, events in splits.items()))
    train(
        detector,
        lambda start, log: build_dataset(splits["train"], detector, arguments, start, log),
        splits["validation"],
        arguments,
        output,
        monitor="val_mean_average_precision",
    )
    choose_thresholds(detector, splits["validation"], arguments)
    detector.save(output / DETECTOR)
    split = "test" if "test" in splits else "validation"
    results = measure(detector, split, splits[split], arguments, output)
    paths = {name: events.paths for name, events in splits.items()}
    finish(detector, paths, results, arguments, output)


def read_splits(arguments):
    """Return recordings for train, validation and, if there are such, test."""
    splits = read_given(arguments, keras_asit.data.read_labeled_events)
    for split, recordings in splits.items():
        if not any(recordings.events):
            source = arguments.source if split == "train" else getattr(arguments, split)
            raise ValueError(f"{source}, for {split}, has no event; give one that has some.")
    if "validation" not in splits:
        everything = splits["train"]
        order = np.random.default_rng(arguments.seed).permutation(len(everything))
        number = round(arguments.validation_share * len(order))
        if not 0 < number < len(order):
            raise ValueError(
                f"{len(order)} recordings are too few to set {arguments.validation_share:.0%} of "
                "them apart; give --validation."
            )
        splits["validation"] = everything.select(sorted(order[:number]))
        if not any(splits["validation"].events):
            raise ValueError(
                f"The {number} recordings set apart for validation have no event; give "
                "--validation, a larger --validation-share or another --seed."
            )
        splits["train"] = everything.select(sorted(order[number:]))
    return splits


def build_detector(events, arguments):
    import keras

    models = keras_asit.models
    converter = build_converter(arguments)
    backbone = build_backbone(converter.audio_shape(), arguments)
    detector = models.ASiTEventDetector(
        backbone,
        len(events.class_names),
        models.ASiTAudioClassifierPreprocessor(converter),
        class_names=events.class_names,
        num_steps=max(1, round(arguments.seconds / STEP_SECONDS)),
        compile=False,
    )
    # No label is of whole clips.
    detector.weak_head.trainable = False
    windows = sum(events.count_windows(detector.window_seconds))
    optimizer = build_optimizer(backbone, max(1, windows // arguments.batch_size), arguments)
    detector.compile(optimizer, {"strong": keras.losses.BinaryCrossentropy(from_logits=True)})
    return detector


def build_dataset(events, detector, arguments, start, log):
    windows = keras_asit.data.labeled_dataset(
        events,
        sample_rate=detector.preprocessor.audio_converter.sample_rate,
        batch_size=arguments.batch_size,
        crop_seconds=detector.window_seconds,
        num_steps=detector.num_steps,
        mixup=arguments.mixup,
        max_shift=arguments.max_shift,
        shuffle=True,
        seed=arguments.seed,
        drop_remainder=sum(events.count_windows(detector.window_seconds)) >= arguments.batch_size,
        num_hosts=arguments.num_hosts,
        host_index=arguments.host_index,
        start=start,
        log=log,
    )
    return windows.map(lambda waveforms, labels: (waveforms, {"strong": labels}))


def choose_thresholds(detector, recordings, arguments):
    scores, recordings = score(detector, recordings, arguments)
    thresholds, median_steps = keras_asit.evaluation.choose_thresholds(
        scores, recordings, detector.window_seconds / detector.num_steps
    )
    detector.keep_thresholds(thresholds, median_steps)
    for name, threshold, length in zip(detector.class_names, thresholds, median_steps):
        what = (
            f"threshold {threshold:.3f}, median of {length} steps"
            if threshold < 1
            else "never found"
        )
        print(f"{name}: {what}")


def score(detector, recordings, arguments):
    """Return scores of each recording that can be read, and those recordings."""
    sample_rate = detector.preprocessor.audio_converter.sample_rate
    scores = {
        index: keras_asit.events.score_recording(detector, waveform, overlap=arguments.overlap)
        for index, waveform in read_waveforms(recordings.paths, sample_rate)
    }
    list_unreadable(recordings.paths, [recordings.paths[index] for index in scores])
    return list(scores.values()), recordings.select(scores)


def measure(detector, split, recordings, arguments, output):
    """Print and return what the detector is worth on recordings; leave a table of the classes."""
    scores, recordings = score(detector, recordings, arguments)
    metrics = keras_asit.evaluation.event_metrics(
        scores,
        recordings,
        detector.window_seconds / detector.num_steps,
        thresholds=detector.thresholds,
        median_steps=detector.median_steps,
    )
    classes = metrics.pop("classes")
    write_classes([{"class": name, **values} for name, values in classes.items()], output)
    return finite_results(split, {f"{split}_recordings": len(recordings), **metrics}, output)


def parse_arguments():
    parser = recipe_parser(__doc__)
    parser.add_argument(
        "source", metavar="EVENTS", help="table of events, or folder of labels of Audacity"
    )
    add_run_flags(parser, "runs/events")

    group = add_data_flags(parser, "EVENTS", test="the report is of the validation")

    recordings = "of recordings, without --validation"
    rolled = "seconds that a window is rolled by at most"
    add_setting(group, "--validation-share", share, recordings, default=0.1)
    add_setting(group, "--seconds", number_between(WINDOW_SECONDS), "of a window", default=10.0)
    add_setting(group, "--max-shift", number_from_zero, rolled, default=10.0)
    add_setting(group, "--overlap", overlap, "of windows in validation and test", default=0.5)
    add_model_flags(parser)
    add_optimization_flags(parser)
    parser.set_defaults(**DEFAULTS)
    arguments = parser.parse_args()
    settle_size(parser, arguments, "tiny")
    return arguments


if __name__ == "__main__":
    main()
