"""What the recipes that train on labels share: their flags, the start, the run and its folder."""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import lazy_loader
import numpy as np
from command_line import (
    SIZES,
    add_verbose,
    dimensions,
    finite_number,
    integer_from_zero,
    number_between,
    number_from_zero,
    positive_integer,
    share,
)
from devices import NOT_SETTINGS as DEVICES
from devices import add_device_flags
from report import curves, neighbors, picture, rows_table, write_report
from run_record import add_license, run_record

keras_asit = lazy_loader.load("keras_asit")

# Flags that may differ when a run is continued; all others make it another run.
NOT_SETTINGS = (
    "source",
    "output",
    "license",
    "save_every",
    "keep",
    "rematerialize",
    "verbose",
    "logs",
    "table",
    "pictures",
    *DEVICES,
)
# What a run leaves: the first when it begins, the last when it is finished.
SETTINGS, REPORT = "settings.json", "report.json"


def make_outputs(folders, task):
    """Make folders, or raise `ValueError` if all hold finished runs, or one what is not ours.

    `task` is the name of the file of what is trained.
    """
    finished = all((folder / REPORT).exists() for folder in folders)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (task, REPORT):
            if (folder / name).exists() and (finished or not (folder / SETTINGS).exists()):
                raise ValueError(
                    f"{folder} holds {name} of another run; delete it or choose another --output"
                )


def claim(folder, contents, arguments):
    """Keep a folder for runs of these settings, or raise `ValueError` if it is one of others.

    `contents` is a dict from the names of splits to lists of strs, all that is in them.
    """
    ours = {name: value for name, value in vars(arguments).items() if name not in NOT_SETTINGS}
    for name, texts in contents.items():
        ours[name] = hashlib.sha256(os.fsencode("\n".join(texts))).hexdigest()
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


def build_converter(arguments):
    converter = keras_asit.models.ASiTAudioConverter()
    if arguments.preset:
        converter = converter.from_preset(arguments.preset)
    changed = {"mean": arguments.mean, "standard_deviation": arguments.standard_deviation}
    changed = {name: value for name, value in changed.items() if value is not None}
    if arguments.seconds is not None:
        changed["num_frames"] = converter.frames_in(arguments.seconds)
    return keras_asit.models.ASiTAudioConverter(**{**converter.get_config(), **changed})


def build_backbone(shape, arguments):
    if arguments.preset:
        if not (arguments.from_scratch or keras_asit.models.presets.has_weights(arguments.preset)):
            raise ValueError(
                f"{arguments.preset} is an architecture without weights. Give --from-scratch if it "
                "is to start at random, or a preset with weights, such as asit_small_free_16k."
            )
        backbone = keras_asit.models.ASiTBackbone.from_preset(
            arguments.preset,
            load_weights=not arguments.from_scratch,
            spectrogram_shape=shape,
            drop_path_rate=arguments.drop_path_rate,
            rematerialize=arguments.rematerialize,
        )
    else:
        backbone = keras_asit.models.ASiTBackbone(
            shape, rematerialize=arguments.rematerialize, **dimensions(arguments)
        )
    backbone.trainable = not arguments.freeze
    if arguments.lora_rank:
        backbone.enable_lora(arguments.lora_rank)
    return backbone


def build_optimizer(backbone, steps_per_epoch, arguments):
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
            optimizer, backbone, arguments.layer_decay
        )
    return optimizer


def train(model, batches, validation, arguments, output, *, monitor):
    """Train a compiled model, and set it to the best epoch if there is data for validation.

    `batches` is a function of a `Start` and a `ReadLog`, `monitor` the log that is to be highest.
    """
    best = {} if validation is None else {"monitor": monitor, "mode": "max"}
    checkpoints = keras_asit.callbacks.Checkpoints(
        shared(output, arguments) / "checkpoints",
        save_freq=arguments.save_every,
        keep=arguments.keep,
        **best,
    )
    try:
        checkpoints.fit(
            model,
            lambda start: batches(start, checkpoints.log),
            arguments.epochs,
            callbacks=build_callbacks(checkpoints.log, validation, arguments, output),
            verbose=arguments.verbose,
        )
        check_weights(model, arguments.epochs)
    except FloatingPointError as error:
        raise FloatingPointError(f"{error} Lower --learning-rate.") from None
    if best:
        checkpoints.load_best(model)


def shared(output, arguments):
    """Return the folder in which all processes find what the first one leaves in `output`."""
    return arguments.shared / output.relative_to(arguments.output)


def build_callbacks(log, validation, arguments, output):
    import keras

    callbacks = [keras_asit.callbacks.StopOnNonFinite(log.files)]
    if arguments.averaging:
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if validation is not None:
        callbacks.append(
            keras_asit.callbacks.ValidateRecordings(validation, batch_size=arguments.batch_size)
        )
    if arguments.logs:
        callbacks.append(keras.callbacks.TensorBoard(output / "logs"))
    return [*callbacks, keras_asit.callbacks.LogTable(output / "epochs.csv")]


def check_weights(model, epoch):
    """Raise `FloatingPointError` if weights are not finite."""
    # The loss of the last step is from before that step.
    weights = [np.asarray(weight, "float32") for weight in model.get_weights()]
    with np.errstate(over="ignore", invalid="ignore"):
        norms = [np.linalg.norm(weight) for weight in weights]
    if not np.isfinite(norms).all():
        raise FloatingPointError(f"The norms of weights are not finite after epoch {epoch}.")


def write_classes(rows, output):
    """Write a table of the classes, a dict each."""
    with (output / "classes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def finite_results(split, results, output):
    """Print results on a split, and return them as JSON can hold them."""
    values = ", ".join(f"{name} {value:.4g}" for name, value in results.items())
    print(f"{split.capitalize()}: {values}")
    print(f"Results: {output}")
    # JSON has no infinite numbers, such as d-prime is where all clips are told apart.
    return {name: value if np.isfinite(value) else None for name, value in results.items()}


def finish(model, paths, results, arguments, output):
    """Leave the preset, with the record of the run, and the report; checkpoints are done with.

    `paths` is a dict from the names of splits to their recordings.
    """
    data = {f"recordings for {name}": len(some) for name, some in paths.items()}
    split = "test" if "test" in paths else "validation"
    tested_on = getattr(arguments, split) or f"held out of {Path(arguments.source).name}"
    data = {"source": arguments.source, **data, "tested_on": tested_on}
    table = output / "epochs.csv"
    # What had no part in it.
    given = vars(arguments)
    unused = {
        "pooling": given.get("keep_head"),
        "task": given.get("dataset") != "spoken-digits",
    }
    not_settings = (*NOT_SETTINGS, *(name for name, is_unused in unused.items() if is_unused))
    record = run_record(arguments, not_settings, data=data, table=table, results=results)
    model.save_to_preset(output / "preset", record=record)
    converter, heard = model.preprocessor.audio_converter, paths.get("test", paths["train"])
    sections = {
        "Every epoch": curves(table) if arguments.pictures else "",
        "Confusion": picture(output / "confusion.png", "confusion of the classes"),
        "Classes": rows_table(output / "classes.csv"),
        "Neighbors": neighbors(model.backbone, converter, list(map(str, heard)), arguments.seed),
    }
    write_report(output / "report.html", record, sections)
    print(f"Report: {output / 'report.html'}, preset: {output / 'preset'}")
    keras_asit._files.write_whole(output / REPORT, json.dumps(results, indent=2).encode())
    # Only the first process has them in its own folder.
    shutil.rmtree(output / "checkpoints", ignore_errors=arguments.host_index > 0)


def add_run_flags(parser, output):
    add = parser.add_argument
    add("--preset", help="name, folder or handle to start from (default: a random start)")
    add("--from-scratch", action="store_true", help="take the preset's architecture only")
    add("--output", type=Path, default=Path(output), help="(default: %(default)s)")
    add("--seed", type=int, default=1, help="of everything random (default: %(default)s)")
    add_license(parser)
    add_verbose(parser)
    of_saves = "batches; and after each epoch"
    add_setting(parser, "--save-every", positive_integer, of_saves, default=1000)
    add("--keep", type=positive_integer, default=2, help="checkpoints (default: %(default)s)")
    add_device_flags(parser)


def add_data_flags(parser, source, *, test):
    """Add flags of what `splits.read_given` reads; `test` says what is tested on without one."""
    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--validation", help=f"as {source}: chooses the best epoch, and thresholds of events")
    add("--test", help=f"as {source} (default: {test})")
    add("--class-index", help="of AudioSet, class_labels_indices.csv or mid_to_display_name.tsv")
    add("--audio-folder", help="where relative paths start")
    add(
        "--missing", choices=["error", "skip"], default="error", help="files (default: %(default)s)"
    )
    return group


def add_model_flags(parser):
    """Add flags of the network and its log-mels."""
    group = parser.add_argument_group("model")
    add = group.add_argument
    add("--size", choices=SIZES, help="without a preset (default: tiny)")
    add("--hidden-dim", type=positive_integer, help="without a preset (default: that of the size)")
    add("--num-layers", type=positive_integer, help="without a preset (default: that of the size)")
    add("--num-heads", type=positive_integer, help="without a preset (default: that of the size)")
    add_setting(group, "--drop-path-rate", share)
    add_setting(group, "--mean", finite_number, "of log-mels; None: the preset's")
    deviation = "of log-mels; None: the preset's"
    add_setting(group, "--standard-deviation", number_between(1e-6), deviation)
    rematerialize = "compute a block once more for its gradient, instead of keeping it in memory"
    add("--rematerialize", action="store_true", help=rematerialize)
    add("--freeze", action="store_true", help="train the head only")
    add(
        "--lora-rank", type=integer_from_zero, default=0, help="low-rank adaptation (default: none)"
    )
    return group


def add_optimization_flags(parser):
    group = parser.add_argument_group("optimization")
    add_setting(group, "--epochs", positive_integer)
    add_setting(group, "--batch-size", positive_integer)
    add_setting(group, "--learning-rate", number_from_zero)
    rates = ["steps", "cosine"]
    add_setting(group, "--schedule", str, "of the learning rate", choices=rates)
    add_setting(group, "--decay-after", positive_integer, "epochs, of steps")
    add_setting(group, "--decay-every", positive_integer, "epochs, of steps")
    add_setting(group, "--decay-rate", share, "of steps")
    add_setting(group, "--warmup-steps", integer_from_zero)
    add_setting(group, "--mixup", share, "how often a clip is mixed")
    add_setting(group, "--averaging", share, "momentum of the average of weights; 0: none")
    add_setting(group, "--weight-decay", number_from_zero)
    add_setting(group, "--layer-decay", share, "of learning rates, a layer", default=1.0)
    return group


def add_setting(group, flag, type, help="", **kwargs):
    """Add a flag whose help tells its default, which `set_defaults` may bring later."""
    help = f"{help} (default: %(default)s)".strip()
    group.add_argument(flag, type=type, help=help, **kwargs)
