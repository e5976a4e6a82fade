"""Pre-train ASiT on a folder or a manifest of audio files.

    python recipes/pretrain.py RECORDINGS --size base --output runs/base

The defaults are the published ones, of the first generation of the method; `--generation 2`
changes those that the second changed. The output folder receives checkpoints, TensorBoard's logs,
tables of losses (losses.csv, an epoch a row) and of progress (progress.csv), and at the end the
presets `student` and `teacher` and the whole pretrainer. However it was interrupted, the same
command goes on from the last checkpoint, exactly. Choose the backend with KERAS_BACKEND.
"""

import argparse
import hashlib
import os
import warnings
from pathlib import Path

import lazy_loader
import numpy as np
from command_line import (
    SHIFT_SECONDS,
    SIZES,
    WINDOW_SECONDS,
    add_patch,
    dimensions,
    ending_in_one_line,
    finite_number,
    integer_from_zero,
    is_installed,
    number_between,
    number_from_zero,
    positive_integer,
    recipe_parser,
    share,
)
from devices import NOT_SETTINGS as DEVICES
from devices import add_device_flags, on_devices
from report import curves, neighbors, picture, write_report
from run_record import add_license, run_record

keras_asit = lazy_loader.load("keras_asit")

# Flags that may differ when a run is continued; all others make it another run.
NOT_SETTINGS = (
    "source",
    "output",
    "license",
    "save_every",
    "keep",
    "log_every",
    "stall_seconds",
    "non_finite",
    "rematerialize",
    "accumulate",
    *DEVICES,
)

PATCH_FRAMES = 16
# A view has one patch at least.
view_seconds = number_between((PATCH_FRAMES - 1) * SHIFT_SECONDS + WINDOW_SECONDS)
temperature = number_between(1e-6)


def main():
    arguments = parse_arguments()
    # Keras warns when the first epoch tells it how many batches there are.
    warnings.filterwarnings("ignore", message="Your input ran out of data")
    going_on = "The same command goes on from the last checkpoint."
    with ending_in_one_line(going_on), on_devices(arguments):
        pretrain(arguments)


def pretrain(arguments):
    import keras

    if arguments.output.exists() and not arguments.output.is_dir():
        raise NotADirectoryError(f"--output must be a folder, but {arguments.output} is a file")
    arguments.output.mkdir(parents=True, exist_ok=True)
    logs = is_installed("tensorboard", "log for TensorBoard")
    pictures = is_installed("matplotlib", "picture of reconstructions")
    optional = {"logs": logs, "pictures": pictures}
    clips, index = read_source(arguments)
    keras.utils.set_random_seed(arguments.seed)
    if arguments.adapt:
        adapt(clips, index, arguments)
    first_batch = next(iter(build_dataset(clips, arguments)))
    num_clips = len(clips) if index is None else index["records"]
    steps_per_epoch = max(1, num_clips // arguments.batch_size)
    pretrainer = build_pretrainer(arguments)
    compile_pretrainer(pretrainer, arguments, steps_per_epoch)
    print(
        f"{num_clips} clips, {steps_per_epoch} steps an epoch, "
        f"{pretrainer.student.backbone.count_params():,} parameters in the backbone"
    )
    checkpoints = keras_asit.callbacks.Checkpoints(
        arguments.shared / "checkpoints",
        save_freq=arguments.save_every,
        keep=arguments.keep,
        settings=settings(clips, index, arguments),
    )
    monitor = keras_asit.callbacks.PipelineMonitor(
        arguments.batch_size,
        steps_per_epoch,
        every_batches=arguments.log_every,
        stall_seconds=arguments.stall_seconds,
    )
    checkpoints.fit(
        pretrainer,
        lambda start: monitor.watch(build_dataset(clips, arguments, start, checkpoints.log)),
        arguments.epochs,
        callbacks=build_callbacks(arguments, checkpoints, monitor, first_batch, optional),
    )
    record = save_results(pretrainer, num_clips, arguments)
    sections = {}
    if pictures:
        sections["Every epoch"] = curves(arguments.output / "losses.csv")
        sections["Reconstruction"] = reconstruction(pretrainer, first_batch, arguments)
    if index is None:
        backbone = pretrainer.teacher.backbone
        converter = build_converter(arguments)
        sections["Neighbors"] = neighbors(backbone, converter, clips, arguments.seed)
    write_report(arguments.output / "report.html", record, sections)
    print(f"Report: {arguments.output / 'report.html'}")


def read_source(arguments):
    """Return the source, a list of files or a folder of records, and the index of records."""
    if not keras_asit.data.holds_records(arguments.source):
        return keras_asit.data.read_manifest(arguments.source), None
    if arguments.decoder != "soundfile":
        raise ValueError("--decoder is for audio files; records are read without one")
    if arguments.max_seconds is not None:
        raise ValueError("--max-seconds is for audio files; records were cut when written")
    return arguments.source, keras_asit.data.read_record_index(arguments.source)


def adapt(clips, index, arguments):
    """Set the mean and standard deviation to those of the source, in one pass over it."""
    if index is not None and index["content"] == "log_mel":
        if index["mean"] is None:
            raise ValueError(f"{clips} has no statistics: none of its sound changes")
        statistics = index["mean"], index["standard_deviation"]
    else:
        converter = build_converter(arguments)
        converter.adapt(
            keras_asit.data.audio_dataset(
                clips, sample_rate=arguments.sample_rate, decoder=arguments.decoder
            )
        )
        statistics = converter.mean, converter.standard_deviation
    arguments.mean, arguments.standard_deviation = statistics
    print(f"--mean {arguments.mean} --standard-deviation {arguments.standard_deviation}")


def settings(clips, index, arguments):
    """Return what makes this run the same as another."""
    values = {name: value for name, value in vars(arguments).items() if name not in NOT_SETTINGS}
    names = clips if index is None else [shard["sha256"] for shard in index["shards"]]
    return {**values, "files": hashlib.sha256(os.fsencode("\n".join(names))).hexdigest()}


def build_dataset(clips, arguments, start=None, log=None):
    longest = {} if arguments.max_seconds is None else {"max_seconds": arguments.max_seconds}
    return keras_asit.data.pretraining_dataset(
        clips,
        converter=build_converter(arguments),
        batch_size=arguments.batch_size,
        crop_seconds=arguments.crop_seconds,
        num_short_crops=arguments.num_short_crops,
        short_crop_seconds=arguments.short_crop_seconds,
        roll_probability=arguments.roll_probability,
        spectrograms=not arguments.filterbank_on_device,
        patch_frames=arguments.patch[0],
        seed=arguments.seed,
        decoder=arguments.decoder,
        num_hosts=arguments.num_hosts,
        host_index=arguments.host_index,
        start=start,
        log=log,
        **longest,
    )


def build_pretrainer(arguments):
    converter = build_converter(arguments)
    backbone = keras_asit.models.ASiTBackbone(
        converter.audio_shape(),
        tuple(arguments.patch),
        rematerialize=arguments.rematerialize,
        dtype=arguments.precision,
        **dimensions(arguments),
    )
    masking = keras_asit.layers.GroupMasking(
        drop_ratio=arguments.drop_ratio,
        kind=arguments.mask_kind,
        replace_ratio=arguments.replace_ratio,
        replace_probability=arguments.replace_probability,
        align=arguments.align,
        seed=arguments.seed,
        dtype="float32",
    )
    names = (
        "num_class_prototypes",
        "trainable_gain",
        "projection_hidden_dim",
        "projection_bottleneck_dim",
        "reconstruction_hidden_dim",
        "reconstruction_bottleneck_dim",
        "global_loss_weight",
        "local_loss_weight",
        "reconstruction_loss_weight",
        "student_temperature",
        "center_momentum",
    )
    return keras_asit.models.ASiTPretrainer(
        backbone,
        masking=masking,
        converter=converter if arguments.filterbank_on_device else None,
        num_patch_prototypes=arguments.num_patch_prototypes or None,
        **{name: getattr(arguments, name) for name in names},
    )


def build_converter(arguments):
    changes = {
        "sample_rate": arguments.sample_rate,
        "mean": arguments.mean,
        "standard_deviation": arguments.standard_deviation,
    }
    converter = keras_asit.models.ASiTAudioConverter(**changes)
    frames = converter.frames_in(arguments.crop_seconds, arguments.patch[0])
    return keras_asit.models.ASiTAudioConverter(num_frames=frames, **changes)


def compile_pretrainer(pretrainer, arguments, steps_per_epoch):
    names = (
        "learning_rate",
        "final_learning_rate",
        "warmup_epochs",
        "weight_decay",
        "final_weight_decay",
        "teacher_momentum",
        "teacher_temperature",
        "final_teacher_temperature",
        "temperature_epochs",
    )
    recipe = keras_asit.models.pretraining_recipe(
        steps_per_epoch,
        arguments.batch_size,
        arguments.epochs,
        clipnorm=arguments.clip_norm,
        **{name: getattr(arguments, name) for name in names},
    )
    pretrainer.compile(
        **recipe,
        skip_non_finite=arguments.non_finite == "skip",
        accumulate=arguments.accumulate,
        steps_per_execution=arguments.steps_per_execution,
    )


def build_callbacks(arguments, checkpoints, monitor, first_batch, optional):
    import keras

    output, logs = arguments.output, arguments.output / "logs"
    callbacks = [
        keras_asit.callbacks.StopOnNonFinite(checkpoints.log.files),
        keras_asit.callbacks.LogSchedules(),
        keras_asit.callbacks.LogTable(output / "losses.csv"),
        # What the monitor measures is in the logs of those after it, not in the losses.
        monitor,
        keras_asit.callbacks.LogTable(output / "progress.csv", every_batches=arguments.log_every),
    ]
    if optional["logs"]:
        callbacks.append(keras.callbacks.TensorBoard(logs, update_freq=arguments.log_every))
    if optional["logs"] and optional["pictures"]:
        pictures = keras_asit.callbacks.ReconstructionPictures(
            first_batch, logs / "train", converter=build_converter(arguments)
        )
        callbacks.append(pictures)
    return callbacks


def reconstruction(pretrainer, batch, arguments):
    """Return a picture of what the student makes of the first clip, as HTML."""
    clip = {name: np.array(part[:1]) for name, part in batch.items()}
    outputs = keras_asit.replicas.predict_batch(pretrainer, clip)
    panels = ("clean", "corrupted", "reconstruction", "mask")
    figure = keras_asit.evaluation.plot_reconstruction(
        **{name: outputs[name][0, 0] for name in panels}, converter=build_converter(arguments)
    )
    return picture(figure, "a spectrogram, corrupted, rebuilt, and the error")


def save_results(pretrainer, num_clips, arguments):
    """Write model and presets; return the record of the run."""
    pretrainer.save(arguments.output / "pretrainer.keras")
    converter = build_converter(arguments)
    data, losses = {"source": arguments.source, "clips": num_clips}, arguments.output / "losses.csv"
    record = run_record(arguments, NOT_SETTINGS, data=data, table=losses)
    for name in ("student", "teacher"):
        preset = arguments.output / name
        getattr(pretrainer, name).backbone.save_to_preset(
            preset, record={**record, "name": f"{record['name']} {name}"}
        )
        converter.save_to_preset(preset)
    print(f"Presets: {arguments.output / 'teacher'} (for use) and {arguments.output / 'student'}")
    return record


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    add(
        "source",
        metavar="FOLDER|MANIFEST",
        help="audio files, or a .txt, .csv or .json of them, or records of write_records.py",
    )
    add("--output", type=Path, default=Path("runs/pretrain"), help="(default: %(default)s)")
    add("--generation", type=int, choices=(1, 2), default=1, help="of the method")
    add("--size", choices=SIZES, default="base", help="of the backbone (default: %(default)s)")
    add("--epochs", type=positive_integer, default=100, help="(default: %(default)s)")
    add("--batch-size", type=positive_integer, default=64, help="clips (default: %(default)s)")
    add("--seed", type=int, default=1, help="of everything random (default: %(default)s)")
    add_license(parser)
    add_device_flags(parser)
    add("--steps-per-execution", type=positive_integer, default=1, help="(default: %(default)s)")
    add(
        "--precision",
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
        default="float32",
        help="(default: %(default)s)",
    )

    group = parser.add_argument_group("memory")
    group.add_argument(
        "--rematerialize",
        action="store_true",
        help="compute a block of the network once more for its gradient, instead of keeping it",
    )
    number(group, "--accumulate", 1, positive_integer, "parts that a batch is computed in")

    group = parser.add_argument_group("a long run")
    number(group, "--save-every", 1000, positive_integer, "batches; and after each epoch")
    number(group, "--keep", 3, positive_integer, "checkpoints, besides that of the least loss")
    number(group, "--log-every", 50, positive_integer, "batches, to progress.csv and TensorBoard")
    number(group, "--stall-seconds", 300.0, number_from_zero, "without a batch until a warning")
    group.add_argument(
        "--non-finite",
        choices=["stop", "skip"],
        default="stop",
        help="what to do when a loss or gradient is not finite (default: %(default)s)",
    )

    group = parser.add_argument_group("views")
    number(group, "--sample-rate", 16000, positive_integer, "Hz")
    group.add_argument(
        "--decoder",
        choices=["soundfile", "tensorflow_io"],
        default="soundfile",
        help="of audio files; the second needs the extra tfio (default: %(default)s)",
    )
    number(group, "--crop-seconds", 6.0, view_seconds)
    number(group, "--max-seconds", None, view_seconds, "read of an audio file a pass; 60")
    number(group, "--num-short-crops", None, integer_from_zero, "0, or 4 in generation 2")
    number(group, "--short-crop-seconds", 2.0, view_seconds)
    number(group, "--roll-probability", 0.5, share)
    number(group, "--mean", None, help="of log-mels (default: AudioSet's)")
    number(group, "--standard-deviation", None, number_between(1e-6), "(default: AudioSet's)")
    group.add_argument(
        "--adapt",
        action="store_true",
        help="compute mean and standard deviation from the source first",
    )
    group.add_argument(
        "--filterbank-on-device",
        action="store_true",
        help="deliver waveforms, and compute spectrograms in the training step",
    )

    group = parser.add_argument_group("masking")
    number(group, "--drop-ratio", None, help="0.7, or 0.5 in generation 2")
    group.add_argument(
        "--mask-kind",
        nargs="+",
        choices=["zeros", "noise", "time", "freq"],
        default=["zeros"],
        help="what is dropped; of several, each view draws one (default: zeros)",
    )
    number(group, "--replace-ratio", 0.3)
    number(group, "--replace-probability", 0.5)
    number(group, "--align", 1, positive_integer, "of rectangles, in frames and bins")

    group = parser.add_argument_group("model and losses")
    add_patch(group, (16, 16))
    number(group, "--hidden-dim", None, positive_integer, "width (default: that of the size)")
    number(group, "--num-layers", None, positive_integer, "(default: that of the size)")
    number(group, "--num-heads", None, positive_integer, "(default: that of the size)")
    number(group, "--projection-hidden-dim", 2048, positive_integer)
    number(group, "--projection-bottleneck-dim", 256, positive_integer)
    number(group, "--reconstruction-hidden-dim", 768, positive_integer)
    number(group, "--reconstruction-bottleneck-dim", 128, positive_integer)
    number(group, "--drop-path-rate", 0.1)
    number(group, "--num-class-prototypes", 8192, positive_integer)
    number(group, "--num-patch-prototypes", None, integer_from_zero, "1024; 0, shared, in 2")
    group.add_argument(
        "--trainable-gain",
        action=argparse.BooleanOptionalAction,
        help="of the prototypes (default: no, or yes in generation 2)",
    )
    number(group, "--global-loss-weight", None, number_from_zero, "1, or 0.5 in generation 2")
    number(group, "--local-loss-weight", None, number_from_zero, "1, or 0.5 in generation 2")
    number(group, "--reconstruction-loss-weight", None, number_from_zero, "2, or 1 in generation 2")
    number(group, "--student-temperature", 0.1, temperature)
    number(group, "--center-momentum", 0.9, share)

    group = parser.add_argument_group("optimization")
    number(group, "--learning-rate", 5e-4, number_from_zero, "for 256 clips; scaled to the batch")
    number(group, "--final-learning-rate", 1e-6, number_from_zero)
    number(group, "--warmup-epochs", 10, integer_from_zero)
    number(group, "--weight-decay", 0.04, number_from_zero)
    number(group, "--final-weight-decay", 0.4, number_from_zero)
    number(group, "--clip-norm", 3.0, help="of each variable's gradient")
    number(group, "--teacher-momentum", 0.996, share, "rises to 1")
    number(group, "--teacher-temperature", 0.04, temperature)
    number(group, "--final-teacher-temperature", 0.07, temperature)
    number(group, "--temperature-epochs", None, positive_integer, "30, or 5 in generation 2")

    arguments = parser.parse_args()
    if arguments.batch_size % arguments.accumulate:
        parser.error("--accumulate must divide --batch-size")
    defaults = {
        **keras_asit.models.presets.GENERATIONS[arguments.generation],
        "mean": keras_asit.models.AUDIOSET_MEAN,
        "standard_deviation": keras_asit.models.AUDIOSET_STANDARD_DEVIATION,
    }
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def number(group, flag, default, type=finite_number, help=""):
    suffix = "" if default is None else "(default: %(default)s)"
    group.add_argument(flag, type=type, default=default, help=f"{help} {suffix}".strip())


if __name__ == "__main__":
    main()
