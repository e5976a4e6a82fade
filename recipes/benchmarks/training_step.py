"""Time and memory of a pre-training step, time of a prediction, of ours and of the original code.

    python recipes/benchmarks/training_step.py --size tiny --clips 8 --backends jax torch \\
        --original ASiT

The original is a clone of https://github.com/Sara-Ahmed/ASiT, whose networks, losses, clipping and
groups of parameters are run in PyTorch on the CPU, with the masks given; ours draws them. Each has
a process of its own; they take turns of three steps, of which the fastest counts. Printed are the
seconds of a step; its model FLOPs as a share of numpy's float32 product of two 2048 x 2048
matrices; the peak of the resident memory in training above what it was after the imports; and how
many views a second become tokens. Linux only.
"""

import argparse
import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

SPECTROGRAM_SHAPE = (592, 128)
WIDTHS = {"tiny": 192, "small": 384, "base": 768}
# The teacher's at first and at last, the epochs between, and all of them.
TEMPERATURES = (0.04, 0.07, 30, 100)
STEPS_OF_A_TURN = 3


def main():
    arguments = parse_arguments()
    results = measure(arguments)
    rate, flops, original = results["rate"], results["flops"], results["rows"].get("original")
    print(f"{arguments.size}, {arguments.clips} clips, {flops / 1e9:.0f} GFLOP a step", end="; ")
    print(f"matrix product {rate / 1e9:.1f} GFLOP/s")
    titles = ["step", "of the rate", "first step", "peak memory", "prediction"]
    if original:
        titles += ["times original", "its memory"]
    print(f"{'':20}", *(f"{title:>16}" for title in titles), sep="")
    for name, row in results["rows"].items():
        cells = f"{row['step']:14.2f} s{flops / row['step'] / rate:16.0%}{row['first']:14.1f} s"
        cells += f"{row['peak'] / 2**30:12.2f} GiB{row['prediction']:8.1f} views/s"
        if original:
            cells += f"{row['step'] / original['step']:16.2f}{row['peak'] / original['peak']:16.2f}"
        print(f"{name:20}{cells}")
    shares = [
        f"{row['masking'] / row['step']:.1%}"
        for row in results["rows"].values()
        if "masking" in row
    ]
    print(f"masking takes {', '.join(shares)} of the step")


def measure(arguments):
    """Return the matrix product's rate, a step's FLOPs, and a row of numbers for each code."""
    ours = {f"ours, {backend}": backend for backend in arguments.backends}
    workers = {name: start(build_ours, arguments, ours[name]) for name in ours}
    if arguments.original:
        workers["original"] = start(build_original, arguments)
    seconds, rates = {name: [] for name in workers}, []
    for _ in range(arguments.turns):
        rates.append(matrix_product_rate())
        for name, worker in workers.items():
            seconds[name].extend(worker.submit(time_steps).result())
    peaks = {name: worker.submit(peak_memory).result() for name, worker in workers.items()}
    predictions = {name: [] for name in workers}
    for _ in range(arguments.turns):
        for name, worker in workers.items():
            predictions[name].extend(worker.submit(time_predictions).result())
    rows = {
        name: {
            "step": min(seconds[name][1:]),
            "first": seconds[name][0],
            "peak": peaks[name],
            "prediction": 2 * arguments.clips / min(predictions[name][1:]),
        }
        for name in workers
    }
    for name in ours:
        rows[name]["masking"] = workers[name].submit(time_masking).result()
    flops = workers[next(iter(ours))].submit(step_flops).result()
    for worker in workers.values():
        worker.shutdown()
    return {"rate": max(rates), "flops": flops, "rows": rows}


def start(build, arguments, backend="torch"):
    """Return a process that has built a step, which `time_steps` runs."""
    worker = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    worker.submit(prepare, build, arguments, backend).result()
    return worker


def prepare(build, arguments, backend):
    global built
    os.environ["KERAS_BACKEND"] = backend
    clean = np.random.default_rng(1).normal(size=(arguments.clips, 2, *SPECTROGRAM_SHAPE))
    built = build(clean.astype("float32"), arguments)


def time_steps():
    """Return the seconds of a turn's steps, one after the other, as in a training.

    The first meets memory and caches that others have had meanwhile.
    """
    return [time_of(built["step"]) for _ in range(STEPS_OF_A_TURN)]


def time_predictions():
    """Return the seconds in which a turn's batches of views become tokens."""
    return [time_of(built["predict"]) for _ in range(STEPS_OF_A_TURN)]


def time_of(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - built["memory"]


def resident_memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def build_ours(clean, arguments):
    import keras_asit
    from keras_asit.models.presets import SIZES

    memory = resident_memory()
    backbone = keras_asit.models.ASiTBackbone(
        SPECTROGRAM_SHAPE,
        **SIZES[arguments.size],
        drop_path_rate=0.1,
        rematerialize=arguments.rematerialize,
        dtype=arguments.precision,
    )
    pretrainer = keras_asit.models.ASiTPretrainer(
        backbone, num_patch_prototypes=arguments.patch_prototypes
    )
    optimizer = keras_asit.optimizers.AdamW(1e-4, weight_decay=0.04, clipnorm=3.0)
    pretrainer.compile(optimizer, accumulate=arguments.accumulate)

    def step():
        pretrainer.train_on_batch({"clean": clean})

    views = clean.reshape(-1, *SPECTROGRAM_SHAPE)
    return {
        "step": step,
        "predict": lambda: backbone.predict_on_batch(views),
        "memory": memory,
        "pretrainer": pretrainer,
        "clean": clean,
    }


def build_original(clean, arguments):
    import torch

    sys.path.insert(0, str(arguments.original))
    import losses
    import utils
    import vision_transformer as networks

    memory = resident_memory()
    # Its losses average centers over processes.
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    student, teacher = (
        build_original_network(networks, WIDTHS[arguments.size], rate) for rate in (0.1, 0.0)
    )
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(False)
    class_loss, patch_loss = (
        losses.CLSLoss(8192, *TEMPERATURES),
        losses.DATALoss(1024, *TEMPERATURES),
    )
    optimizer = torch.optim.AdamW(utils.get_params_groups(student), 1e-4, weight_decay=0.04)
    # It has the first views of all clips before the second ones, and a channel.
    clean = torch.from_numpy(clean.swapaxes(0, 1).reshape(-1, 1, *SPECTROGRAM_SHAPE).copy())
    mask = torch.rand(clean.shape) < 0.6

    def run(network, spectrograms):
        tokens = network["backbone"](spectrograms)
        class_logits, patch_logits = network["projection"](tokens)
        return tokens, class_logits, patch_logits.flatten(0, 1)

    def step():
        _, teacher_class, teacher_patches = run(teacher, clean)
        tokens, student_class, student_patches = run(student, torch.where(mask, 0, clean))
        errors = (student["reconstruction"](tokens[:, 1:]) - clean).abs()
        loss = class_loss(student_class, teacher_class, 0) + 2 * errors[mask].mean()
        loss = loss + patch_loss(student_patches, teacher_patches, 0)
        optimizer.zero_grad()
        loss.backward()
        utils.clip_gradients(student, 3.0)
        optimizer.step()
        with torch.no_grad():
            for average, weight in zip(teacher.parameters(), student.parameters()):
                average.mul_(0.996).add_(weight, alpha=0.004)

    def predict():
        teacher.eval()
        with torch.inference_mode():
            return teacher["backbone"](clean).numpy()

    return {"step": step, "predict": predict, "memory": memory}


def build_original_network(networks, width, drop_path_rate):
    from functools import partial

    import torch

    backbone = networks.VisionTransformer(
        audio_size=SPECTROGRAM_SHAPE,
        in_chans=1,
        embed_dim=width,
        num_heads=width // 64,
        qkv_bias=True,
        drop_path_rate=drop_path_rate,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    projection = networks.CLSHead(width, 8192, 1024)
    reconstruction = networks.RECHead(width, SPECTROGRAM_SHAPE, in_chans=1)
    return torch.nn.ModuleDict(
        {"backbone": backbone, "projection": projection, "reconstruction": reconstruction}
    )


def time_masking(repetitions=5):
    """Return the seconds of the fastest of several maskings of a batch, compiled by itself."""
    import keras

    clean, inputs = built["clean"], keras.Input(built["clean"].shape[1:])
    model = keras.Model(inputs, built["pretrainer"].masking(inputs))
    model.predict_on_batch(clean)
    return min(time_of(lambda: model.predict_on_batch(clean)) for _ in range(repetitions))


def matrix_product_rate(size=2048, repetitions=3):
    """Return numpy's best floating-point operations per second."""
    left, right = np.random.default_rng(1).normal(size=(2, size, size)).astype("float32")
    return 2 * size**3 / min(time_of(lambda: left @ right) for _ in range(repetitions))


def step_flops():
    """Count the products of matrices: student forward and twice that backward, teacher forward.

    Of a product with a kernel, 2 FLOPs per weight and token; of attention, 2 x 2 per pair of
    tokens and channel.
    """
    pretrainer, views = built["pretrainer"], 2 * len(built["clean"])
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


def parse_arguments(flags=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", choices=WIDTHS, default="base", help="(default: base)")
    add("--clips", type=int, default=2, help="in a batch, of two views each (default: 2)")
    add("--turns", type=int, default=3, help="of each (default: %(default)s)")
    backends = ["tensorflow", "jax", "torch"]
    add("--backends", nargs="+", choices=backends, default=backends, help="of ours (default: all)")
    add("--original", type=Path, metavar="FOLDER", help="a clone (default: ours alone)")
    precisions = ["float32", "mixed_bfloat16", "mixed_float16"]
    add("--precision", choices=precisions, default="float32", help="of ours (default: float32)")
    add("--rematerialize", action="store_true", help="in ours")
    add("--accumulate", type=int, default=1, help="parts of the batch in ours (default: 1)")
    add("--patch-prototypes", type=int, default=1024, help="in ours (default: 1024)")
    return parser.parse_args(flags)


if __name__ == "__main__":
    main()
