"""What recipes train, validate and test on, as their flags say."""

import warnings

import lazy_loader
import numpy as np

keras_asit = lazy_loader.load("keras_asit")


def read_splits(arguments, fold):
    """Return clips for train, test and, unless its share is 0, validation."""
    data = keras_asit.data
    source, dataset = arguments.source, arguments.dataset
    if dataset == "esc50":
        splits = data.read_esc50(source, fold)
    elif dataset == "speech-commands":
        splits = data.read_speech_commands(source)
    elif dataset == "voxceleb1":
        splits = data.read_voxceleb1(source, arguments.split_file)
    elif dataset == "spoken-digits":
        splits = data.read_spoken_digits(source, arguments.task)
    else:
        splits = read_given(arguments, data.read_labeled_clips)
    check_labels(splits)
    if arguments.labels_per_class:
        splits["train"] = draw_per_class(
            splits["train"], arguments.labels_per_class, arguments.seed
        )
    if "test" not in splits:
        splits["train"], splits["test"] = divide(splits["train"], 0.2, arguments.seed)
    if "validation" not in splits and arguments.validation_share:
        splits["train"], splits["validation"] = divide(
            splits["train"], arguments.validation_share, arguments.seed
        )
    return splits


def read_given(arguments, read):
    """Return what is read of each source that is given, with the classes of the first."""
    names = arguments.class_index and keras_asit.data.read_class_index(arguments.class_index)
    splits = {}
    sources = {
        "train": arguments.source,
        "validation": arguments.validation,
        "test": arguments.test,
    }
    for split, source in sources.items():
        if source is not None:
            splits[split] = read(
                source,
                class_names=names,
                audio_folder=arguments.audio_folder,
                missing=arguments.missing,
            )
            names = names or splits[split].class_names
    return splits


def check_labels(splits):
    """Raise `ValueError` if there is one class, or only clips to train on have one label each."""
    train = splits["train"]
    if len(train.class_names) < 2 and not train.multi_label:
        raise ValueError(
            f"All clips are of one class, {', '.join(train.class_names)}. Add clips of another, "
            "such as a folder of other sounds."
        )
    for split, clips in splits.items():
        if clips.multi_label and not train.multi_label:
            raise ValueError(
                f"Some clips for {split} have several labels or none, but all for training have "
                "one; label all with one, or some for training with several."
            )


def divide(clips, share, seed):
    """Return two parts of clips, the second of a share of each class where they have one."""
    generator = np.random.default_rng(seed)
    groups = {}
    for index in generator.permutation(len(clips)):
        groups.setdefault(0 if clips.multi_label else clips.labels[index], []).append(index)
    second = {index for group in groups.values() for index in group[: round(share * len(group))]}
    small = [labels for labels, group in groups.items() if not round(share * len(group))]
    if small and second:
        names = [clips.class_names[index] for labels in small for index in labels]
        warnings.warn(
            f"Of {len(small)} classes no clip is set apart for test or validation, as {share:.0%} "
            f"of their few is none: {keras_asit._arguments.name_some(sorted(names))}",
            stacklevel=2,
        )
    if not 0 < len(second) < len(clips):
        raise ValueError(f"{len(clips)} clips are too few to set {share:.0%} of them apart.")
    first = [index for index in range(len(clips)) if index not in second]
    return clips.select(first), clips.select(sorted(second))


def draw_per_class(clips, number, seed):
    """Return some clips of each class, drawn at random."""
    generator = np.random.default_rng(seed)
    labels = clips.label_indices()
    chosen = []
    for index, name in enumerate(clips.class_names):
        members = np.flatnonzero(labels == index)
        if len(members) < number:
            raise ValueError(f"Class {name!r} has {len(members)} clips, fewer than {number}.")
        chosen.extend(generator.choice(members, number, replace=False))
    return clips.select(sorted(chosen))
