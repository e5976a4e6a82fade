"""Time a pre-training step against this machine's matrix product.

Prints the rate of a step, in model FLOPs, as a share of numpy's float32 product of two
2048 x 2048 matrices in the same process, the time of compilation, the share of masking, and the
peak memory. Choose the backend with KERAS_BACKEND.

    KERAS_BACKEND=jax python recipes/benchmarks/training_step.py --size tiny --clips 8
"""

import argparse
import resource
import time

import keras
import numpy as np

import keras_asit
from keras_asit.models.presets import SIZES

SPECTROGRAM_SHAPE = (592, 128)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--clips", type=int, default=2, help="clips in a batch, of two views each")
    parser.add_argument("--steps", type=int, default=3, help="timed steps")
    arguments = parser.parse_args()

    pretrainer = build_pretrainer(arguments.size)
    clean = np.random.default_rng(1).normal(size=(arguments.clips, 2, *SPECTROGRAM_SHAPE))
    batch = {"clean": clean.astype("float32")}

    rate = matrix_product_rate()
    first, step = time_steps(pretrainer, batch, arguments.steps)
    masking = time_masking(pretrainer, batch["clean"])
    rate = (rate + matrix_product_rate()) / 2
    flops = step_flops(pretrainer, 2 * arguments.clips)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    print(f"{keras.config.backend()}, {arguments.size}, {arguments.clips} clips")
    print(f"  matrix product      {rate / 1e9:8.1f} GFLOP/s")
    print(f"  step                {step:8.2f} s for {flops / 1e9:.0f} GFLOP")
    print(f"  share of the rate   {flops / step / rate:8.0%}")
    print(f"  masking             {masking / step:8.1%} of the step")
    print(f"  compilation         {first - step:8.1f} s")
    print(f"  peak memory         {memory:8.1f} GiB")


def build_pretrainer(size):
    backbone = keras_asit.models.ASiTBackbone(SPECTROGRAM_SHAPE, **SIZES[size], drop_path_rate=0.1)
    pretrainer = keras_asit.models.ASiTPretrainer(backbone)
    pretrainer.compile(keras_asit.optimizers.AdamW(1e-4, weight_decay=0.04, clipnorm=3.0))
    return pretrainer


def time_steps(pretrainer, batch, steps):
    """Return the seconds of the first step and of the fastest of the next ones."""
    seconds = []
    for _ in range(1 + steps):
        start = time.perf_counter()
        pretrainer.train_on_batch(batch)
        seconds.append(time.perf_counter() - start)
    return seconds[0], min(seconds[1:])


def time_masking(pretrainer, clean, repetitions=5):
    """Return the seconds of the fastest of several maskings of a batch, compiled by itself."""
    inputs = keras.Input(clean.shape[1:])
    model = keras.Model(inputs, pretrainer.masking(inputs))
    model.predict_on_batch(clean)
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        model.predict_on_batch(clean)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def matrix_product_rate(size=2048, repetitions=5):
    """Return numpy's best floating-point operations per second."""
    left, right = np.random.default_rng(1).normal(size=(2, size, size)).astype("float32")
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def step_flops(pretrainer, views):
    """Count the products of matrices: student forward and twice that backward, teacher forward.

    Of a product with a kernel, 2 FLOPs per weight and token; of attention, 2 x 2 per pair of
    tokens and channel.
    """
    backbone = pretrainer.backbone
    patches = backbone.grid_shape[0] * backbone.grid_shape[1]
    tokens = patches + 1
    block = 4 * backbone.hidden_dim**2 + 2 * backbone.hidden_dim * backbone.mlp_dim
    attention = 4 * tokens**2 * backbone.hidden_dim
    encoder = backbone.num_layers * (2 * tokens * block + attention)
    embedding = 2 * patches * backbone.hidden_dim * np.prod(backbone.patch_size)

    projection, reconstruction = (
        pretrainer.student.projection_head,
        pretrainer.student.reconstruction_head,
    )
    heads = 2 * tokens * kernel_size(projection.mlp)
    heads += 2 * np.prod(projection.class_prototypes.direction.shape)
    heads += 2 * patches * np.prod(projection.patch_prototypes.direction.shape)
    painting = 2 * patches * kernel_size(reconstruction.mlp)
    painting += 2 * patches * np.prod(reconstruction.kernel.shape)
    # The teacher reconstructs nothing.
    return views * float(4 * (encoder + embedding + heads) + 3 * painting)


def kernel_size(mlp):
    return sum(np.prod(layer.kernel.shape) for layer in mlp.dense_layers)


if __name__ == "__main__":
    main()
