"""Clips a second of pre-training in a process for each core, beside one process with all cores.

    KERAS_BACKEND=jax python recipes/benchmarks/processes.py --size tiny --processes 2

`recipes/pretrain.py` is run on made recordings, in turns; of a run, what counts is the fastest part
after the first, and of the turns the fastest. Linux only.
"""

import argparse
import contextlib
import csv
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import soundfile

RECIPE = Path(__file__).parents[1] / "pretrain.py"
SAMPLE_RATE, SECONDS = 16000, 6.5
BATCHES_OF_A_PART = 5


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="tiny", help="(default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="and cores (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="clips (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=15, help="of a run (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=2, help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.batches < 2 * BATCHES_OF_A_PART:
        parser.error(
            f"--batches must be at least {2 * BATCHES_OF_A_PART}: the first part is left out"
        )
    cores = len(os.sched_getaffinity(0))
    if not 2 <= arguments.processes <= cores:
        parser.error(f"--processes must be from 2 to the number of cores, here {cores}")
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), arguments)


def compare(folder, arguments):
    write_noise(folder / "recordings", arguments.batch_size * arguments.batches)
    rates = {1: [], arguments.processes: []}
    for turn in range(arguments.turns):
        for number in rates:
            output = folder / f"{number}-{turn}"
            rates[number].append(run(folder / "recordings", output, number, arguments))
    one, several = (max(some) for some in rates.values())
    print(f"{keras.config.backend()}, {arguments.size}, batches of {arguments.batch_size}")
    print(f"one process with {arguments.processes} cores: {one:.2f} clips/s")
    print(f"{arguments.processes} processes with a core each: {several:.2f} clips/s")
    print(f"of the throughput per core: {several / one:.2f}")


def write_noise(folder, number):
    folder.mkdir()
    generator = np.random.default_rng(1)
    for index in range(number):
        noise = generator.uniform(-0.5, 0.5, round(SECONDS * SAMPLE_RATE))
        soundfile.write(folder / f"{index}.wav", noise, SAMPLE_RATE)


def run(recordings, output, number, arguments):
    """Train an epoch in so many processes, which divide the cores; return clips a second."""
    command = [sys.executable, RECIPE, recordings, "--output", output, "--size", arguments.size]
    command += ["--batch-size", arguments.batch_size, "--epochs", 1, "--verbose", 0]
    command += ["--log-every", BATCHES_OF_A_PART]
    cores = sorted(os.sched_getaffinity(0))[: arguments.processes]
    shares = [cores[index::number] for index in range(number)]
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(number))
    processes = []
    for index, share in enumerate(shares):
        flags = ["--hosts", hosts, "--host-index", index] if number > 1 else []
        pinned = ["taskset", "-c", ",".join(map(str, share)), *command, *flags]
        environment = {**os.environ, "OMP_NUM_THREADS": str(len(share))}
        processes.append(subprocess.Popen(list(map(str, pinned)), env=environment))
    statuses = [process.wait() for process in processes]
    if any(statuses):
        sys.exit("processes.py: a run failed")
    with (output / "progress.csv").open(newline="") as file:
        _, *rates = [float(row["clips_per_second"]) for row in csv.DictReader(file)]
    return max(rates)


def free_ports(number):
    """Return ports that no process listens to."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    main()
