"""Pre-train ASiT on a folder or a manifest of audio files.

    python recipes/pretrain.py RECORDINGS --size base --output runs/base

The defaults are the published ones, of the first generation of the method; `--generation 2`
changes those that the second changed. The output folder receives checkpoints, TensorBoard's logs,
tables of losses (losses.csv, an epoch a row) and of progress (progress.csv), and at the end the
presets `student` and `teacher` and the whole pretrainer. However it was interrupted, the same
command goes on from the last checkpoint, exactly. Choose the backend with KERAS_BACKEND.
"""

import hashlib
import os
import warnings

import lazy_loader
import numpy as np
from command_line import (
    FROM_CHECKPOINT,
    SHIFT_SECONDS,
    WINDOW_SECONDS,
    dimensions,
    ending_in_one_line,
    is_installed,
)
from devices import NOT_SETTINGS as DEVICES
from devices import on_devices
from pretraining_flags import parse_arguments
from report import curves, lines, neighbors, picture, write_report
from run_record import run_record

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
    "verbose",
    "rematerialize",
    "accumulate",
    *DEVICES,
)


# What makes spectrograms, besides the length of crops.
FRONT_END = ("sample_rate", "num_mels", "mean", "standard_deviation")


def main():
    arguments = parse_arguments(__doc__)
    # Keras warns when the first epoch tells it how many batches there are.
    warnings.filterwarnings("ignore", message="Your input ran out of data")
    with ending_in_one_line(FROM_CHECKPOINT), on_devices(arguments):
        pretrain(arguments)


def pretrain(arguments):
    import keras

    if arguments.output.exists() and not arguments.output.is_dir():
        raise NotADirectoryError(f"--output must be a folder, but {arguments.output} is a file")
    arguments.output.mkdir(parents=True, exist_ok=True)
    logs = is_installed("tensorboard", "log for TensorBoard")
    pictures = is_installed("matplotlib", "picture of reconstructions")
    optional = {"logs": logs, "pictures": pictures}
    if arguments.warmup_epochs >= arguments.epochs:
        warnings.warn(
            f"In --epochs {arguments.epochs} the learning rate does not get to its highest, for it "
            f"rises for --warmup-epochs {arguments.warmup_epochs}: give fewer of these.",
            stacklevel=2,
        )
    take_over(arguments)
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
        verbose=arguments.verbose,
    )
    skipped = checkpoints.log.unreadable(arguments.epochs - 1)
    record = save_results(pretrainer, num_clips, len(skipped), arguments)
    sections = {}
    if pictures:
        sections["Every epoch"] = curves(arguments.output / "losses.csv")
        sections["Reconstruction"] = reconstruction(pretrainer, first_batch, arguments)
    if index is None:
        backbone = pretrainer.teacher.backbone
        converter = build_converter(arguments)
        sections["Neighbors"] = neighbors(backbone, converter, clips, arguments.seed)
        sections["Could not be read"] = lines(clips[clip] for clip in skipped)
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


def take_over(arguments):
    """Let what is not given be the preset's, or what a new network has; check the crops."""
    converter, patch = keras_asit.models.ASiTAudioConverter(), (16, 16)
    if arguments.preset:
        if not keras_asit.models.presets.has_weights(arguments.preset):
            raise ValueError(
                f"{arguments.preset} has no weights to go on from; give --size instead"
            )
        converter = converter.from_preset(arguments.preset)
        backbone = keras_asit.models.ASiTBackbone.from_preset(arguments.preset, load_weights=False)
        patch = backbone.patch_size
        if arguments.patch and tuple(arguments.patch) != patch:
            raise ValueError(f"--patch must be that of --preset, {patch[0]} {patch[1]}")
    values = {"patch": list(patch), **{name: getattr(converter, name) for name in FRONT_END}}
    for name, value in values.items():
        if getattr(arguments, name, None) is None:
            setattr(arguments, name, value)
    crops = {"--crop-seconds": arguments.crop_seconds}
    if arguments.num_short_crops:
        crops["--short-crop-seconds"] = arguments.short_crop_seconds
    for flag, seconds in crops.items():
        if not converter.frames_in(seconds, arguments.patch[0]):
            shortest = (arguments.patch[0] - 1) * SHIFT_SECONDS + WINDOW_SECONDS
            raise ValueError(f"{flag} must be at least {shortest:.3f}, for one patch of --patch")


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
    backbone = build_backbone(converter.audio_shape(), arguments)
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


def build_backbone(shape, arguments):
    options = {"rematerialize": arguments.rematerialize, "dtype": arguments.precision}
    if arguments.preset:
        return keras_asit.models.ASiTBackbone.from_preset(
            arguments.preset,
            spectrogram_shape=shape,
            drop_path_rate=arguments.drop_path_rate,
            **options,
        )
    return keras_asit.models.ASiTBackbone(
        shape, tuple(arguments.patch), **options, **dimensions(arguments)
    )


def build_converter(arguments):
    changes = {name: getattr(arguments, name) for name in FRONT_END}
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


def save_results(pretrainer, num_clips, num_skipped, arguments):
    """Write model and presets; return the record of the run."""
    pretrainer.save(arguments.output / "pretrainer.keras")
    converter = build_converter(arguments)
    data = {"source": arguments.source, "clips": num_clips}
    if num_skipped:
        data["clips that could not be read"] = num_skipped
    losses = arguments.output / "losses.csv"
    record = run_record(arguments, NOT_SETTINGS, data=data, table=losses)
    for name in ("student", "teacher"):
        preset = arguments.output / name
        getattr(pretrainer, name).backbone.save_to_preset(
            preset, record={**record, "name": f"{record['name']} {name}"}
        )
        converter.save_to_preset(preset)
    print(f"Presets: {arguments.output / 'teacher'} (for use) and {arguments.output / 'student'}")
    return record


if __name__ == "__main__":
    main()
