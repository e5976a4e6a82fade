"""Teach an ASiT what other networks make of the same recordings: knowledge distillation.

    python recipes/distill.py teachers.npz --output runs/distilled

The .npz file names windows of recordings, by `path` and `start` in seconds, and has for each one or
more teachers an array of embeddings, a row a window. `recipes/benchmarks/embed_peers.py` writes one
of published networks; any frozen network will do. From what an ASiT's patch tokens are pooled to,
linear layers regress all embeddings, standardized; they are dropped in the end. The loss of each
teacher is the mean squared error, 1 where nothing is known, and all weigh the same.

The log-mels of all recordings are held in memory, 92 MB an hour, and thrice that to begin with. The
preset, backbone and converter, is in the folder OUTPUT/preset; those of other epochs that --keep
names are in OUTPUT/epoch-NUMBER. The same command goes on from the last checkpoint.

Reference: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, with
embeddings in the place of class probabilities.
"""

import argparse
import math
import os
from pathlib import Path

import keras
import numpy as np
from command_line import (
    FROM_CHECKPOINT,
    add_patch,
    ending_in_one_line,
    integer_from_zero,
    number_between,
    positive_integer,
)
from run_record import add_license, run_record

import keras_asit
from keras_asit._files import sha256_of
from keras_asit.layers.log_mel_filterbank import FLOOR
from keras_asit.models.audio_converter import log_mel_moments, mean_and_standard_deviation

SAMPLE_RATE = 16000
# Flags that may differ when a run is continued.
NOT_SETTINGS = ("output", "license", "keep")
# So many standard deviations, rare and large values do not outweigh all others.
LARGEST_TARGET = 5
# A decibel, in natural logarithms of power.
DECIBEL = math.log(10) / 10


def main():
    arguments = parse_arguments()
    with ending_in_one_line(FROM_CHECKPOINT):
        distill(arguments)


def distill(arguments):
    keras.utils.set_random_seed(arguments.seed)
    paths, starts, teachers = read_teachers(arguments.teachers)
    converter = keras_asit.models.ASiTAudioConverter(SAMPLE_RATE, arguments.frames)
    windows = Windows(paths, starts, converter)
    steps = len(windows.rows) // arguments.batch_size * arguments.epochs
    if not steps:
        raise ValueError(
            f"{len(windows.rows)} windows do not fill a batch; lower --batch-size, "
            f"{arguments.batch_size}."
        )
    targets = {name: standardized(values[windows.rows]) for name, values in teachers.items()}
    del teachers
    backbone = build_backbone(arguments)
    model = build_model(backbone, targets)
    compile_model(model, targets, steps, arguments)
    checkpoints = keras_asit.callbacks.Checkpoints(
        arguments.output / "checkpoints", settings=settings_of(arguments)
    )
    table = arguments.output / "epochs.csv"
    data = {"source": arguments.teachers, "windows": len(windows.rows), "teachers": list(targets)}

    def save(name):
        record = run_record(arguments, NOT_SETTINGS, data=data, table=table)
        save_preset(backbone, converter, arguments.output / name, record)

    def keep(epoch, logs):
        if epoch + 1 in arguments.keep:
            save(f"epoch-{epoch + 1}")

    log = keras.callbacks.CSVLogger(table, append=True)
    checkpoints.fit(
        model,
        lambda start: windows.batches(targets, start, arguments),
        arguments.epochs,
        callbacks=[log, keras.callbacks.LambdaCallback(on_epoch_end=keep)],
        verbose=2,
    )
    save("preset")
    print(f"Preset in {arguments.output / 'preset'}")


def save_preset(backbone, converter, folder, record):
    """Write a preset of half the size: its weights have half precision, but only in the file."""
    backbone.save_to_preset(folder, record=record)
    converter.save_to_preset(folder)
    half = type(backbone).from_config({**backbone.get_config(), "dtype": "float16"})
    half.set_weights(backbone.get_weights())
    half.save_weights(folder / "model.weights.h5")


def read_teachers(path):
    """Return paths, starts in seconds, and a dict of the teachers' embeddings, a row a window."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file}
    paths, starts = arrays.pop("path", None), arrays.pop("start", None)
    if paths is None or starts is None or not arrays:
        raise ValueError(
            f"{path} must have the arrays `path` and `start`, and one a teacher, a row a window."
        )
    if len(paths) == 0 or starts.shape != paths.shape or not np.isfinite(starts).all():
        raise ValueError(
            f"`start` of {path} must be finite, and `path` have as many rows, one or more. "
            f"Received: shapes {starts.shape} and {paths.shape}"
        )
    for name, values in arrays.items():
        if values.ndim != 2 or len(values) != len(paths) or not np.isfinite(values).all():
            raise ValueError(
                f"Teacher {name!r} of {path} must be finite and have shape (windows, width), "
                f"{len(paths)} windows as in `path`. Received: shape={values.shape}"
            )
    return paths, starts, arrays


def standardized(values):
    """Return values of mean 0 and variance 1 a column, but for outliers; 0 where it is constant.

    They are a tensor of half precision, which all epochs share.
    """
    import tensorflow as tf

    values = values.astype("float32")
    deviation = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return tf.constant(values.clip(-LARGEST_TARGET, LARGEST_TARGET), "float16")


def statistics(frames):
    """Return the mean and the standard deviation of log-mels, which may be many."""
    moments = log_mel_moments()
    for first in range(0, len(frames), 100_000):
        moments += log_mel_moments(frames[first : first + 100_000])
    return mean_and_standard_deviation(moments)


class Windows:
    """Log-mels of all recordings, and the windows of them that teachers have seen.

    The converter takes on their statistics.
    """

    def __init__(self, paths, starts, converter):
        import tensorflow as tf

        self.converter = converter
        paths = [os.path.abspath(os.path.expanduser(path)) for path in paths]
        names, owners = np.unique(paths, return_inverse=True)
        clips = list(self._read(names))
        lengths = np.array([len(clip) for clip in clips])
        # Windows of recordings that cannot be read are left out.
        self.rows = np.flatnonzero(lengths[owners])
        owners, starts = owners[self.rows], starts[self.rows]
        shift = converter.filterbank.shift / converter.sample_rate
        offsets = np.round(starts / shift).astype("int64")
        wrong = np.flatnonzero((offsets < 0) | (offsets >= lengths[owners]))
        if len(wrong):
            name, start = names[owners[wrong[0]]], starts[wrong[0]]
            raise ValueError(
                f"{len(wrong)} windows start where their recordings have no sound, the first at "
                f"{start} s of {name}. Give the recordings that the teachers have heard."
            )
        frames = np.concatenate(clips)
        del clips
        self.converter.mean, self.converter.standard_deviation = statistics(frames)
        self.frames = tf.constant(frames)
        ends = np.cumsum(lengths)[owners]
        self.firsts = ends - lengths[owners] + offsets
        self.ends = np.minimum(self.firsts + converter.num_frames, ends)

    def _read(self, paths):
        import tensorflow as tf

        log_mels = tf.function(self.converter.filterbank, [tf.TensorSpec([None], tf.float32)])
        found = dict.fromkeys(paths, np.zeros((0, self.converter.num_mels), "float16"))
        for waveform, path in keras_asit.data.audio_dataset(list(paths), sample_rate=SAMPLE_RATE):
            found[path.numpy().decode()] = log_mels(waveform).numpy().astype("float16")
        return found.values()

    def batches(self, targets, start, arguments):
        """Return a dataset of spectrograms, made louder or softer, and targets: an epoch."""
        import tensorflow as tf

        firsts, ends = tf.constant(self.firsts), tf.constant(self.ends)
        seed = [arguments.seed, start.epoch]
        order = tf.random.experimental.stateless_shuffle(tf.range(len(self.rows)), seed)

        def example(row):
            window = tf.cast(self.frames[firsts[row] : ends[row]], "float32")
            gain = tf.random.stateless_uniform([], [*seed[:1], start.epoch * 2**20 + row], -1, 1)
            window = tf.maximum(window + gain * arguments.gain * DECIBEL, math.log(FLOOR))
            missing = self.converter.num_frames - tf.shape(window)[0]
            window = tf.pad(window, [[0, missing], [0, 0]], constant_values=math.log(FLOOR))
            window = tf.ensure_shape(window, self.converter.audio_shape())
            return self.converter.normalize(window), {n: v[row] for n, v in targets.items()}

        dataset = tf.data.Dataset.from_tensor_slices(order).map(example, tf.data.AUTOTUNE)
        dataset = dataset.batch(arguments.batch_size, drop_remainder=True)
        return dataset.skip(start.batch).prefetch(tf.data.AUTOTUNE)


def build_backbone(arguments):
    width = arguments.hidden_dim
    return keras_asit.models.ASiTBackbone(
        (arguments.frames, 128),
        tuple(arguments.patch),
        arguments.num_layers,
        num_heads=arguments.num_heads,
        hidden_dim=width,
        mlp_dim=4 * width,
    )


def build_model(backbone, targets):
    """Return a model from spectrograms to what each teacher makes of them."""
    features = backbone.feature_model(blocks=[-1]).output
    outputs = {
        name: keras.layers.Dense(values.shape[1], name=name)(features)
        for name, values in targets.items()
    }
    return keras.Model(backbone.input, outputs)


def compile_model(model, targets, steps, arguments):
    learning_rate = keras_asit.schedules.WarmupCosine(
        arguments.learning_rate, 1e-6, steps, warmup_steps=steps // 10
    )
    optimizer = keras_asit.optimizers.AdamW(learning_rate, weight_decay=0.05, clipnorm=3.0)
    model.compile(optimizer, loss=dict.fromkeys(targets, "mse"))


def settings_of(arguments):
    """Return what another run must not differ in to go on from the checkpoints of this one."""
    flags = {name: value for name, value in vars(arguments).items() if name not in NOT_SETTINGS}
    return {**flags, "teachers": sha256_of(arguments.teachers)}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument

    def number(flag, type, default, help):
        add(flag, type=type, default=default, help=f"{help} (default: %(default)s)")

    add("teachers", metavar="TEACHERS", type=Path, help="embeddings of windows, .npz")
    add("--output", type=Path, required=True, help="folder of preset, checkpoints and epochs.csv")
    add_license(parser)
    number("--frames", positive_integer, 96, "of a window, 10 ms each")
    add_patch(parser, (4, 128))
    number("--num-layers", positive_integer, 6, "transformer blocks")
    number("--num-heads", positive_integer, 4, "of attention in a block")
    number("--hidden-dim", positive_integer, 256, "width of a token")
    number("--epochs", positive_integer, 20, "passes over all windows")
    add(
        "--keep",
        nargs="+",
        type=positive_integer,
        default=[],
        metavar="EPOCH",
        help="a preset after these epochs too",
    )
    number("--batch-size", positive_integer, 64, "windows")
    number("--learning-rate", number_between(1e-9), 1e-3, "at its highest")
    number("--gain", number_between(0), 6.0, "windows are louder or softer by up to so many dB")
    number("--seed", integer_from_zero, 1, "of weights, order and loudness")
    return parser.parse_args()


if __name__ == "__main__":
    main()
