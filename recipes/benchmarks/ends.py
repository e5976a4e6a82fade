"""How soon runs of the recipes, and of a user's own `fit`, are over, however they are ended.

    KERAS_BACKEND=jax python recipes/benchmarks/ends.py --runs 20

Each run starts in the folder that the one before left, begins to work there, which shows that it
is not locked and can be gone on from, and is ended at a random moment: by a signal, because nobody
reads what it prints any more, by an exception or by `sys.exit`. Recordings are noise, long enough
that input pipelines are at work then. On a machine with other work to do, mind the processor
seconds of the ends: what hangs uses none, and what waits for its turn as many as ever. Linux only.
"""

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RECIPES = Path(__file__).parents[1]
SIZES = {"hidden-dim": 16, "num-layers": 1, "num-heads": 1, "batch-size": 4, "epochs": 1000}
HEADS = {"num-class-prototypes": 16, "projection-hidden-dim": 16, "crop-seconds": 0.5}
FIT = """
import sys, keras, keras_asit
class End(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            print("working", flush=True)
            {end}
source, _ = sys.argv[1:]
batches = keras_asit.data.pretraining_dataset(source, crop_seconds=0.5, batch_size=4)
model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
model.compile("sgd", "mse")
batches = batches.map(lambda batch: (batch["clean"][:, 0], batch["clean"][:, 1, 0, :1]))
model.fit(keras_asit.callbacks.PipelineMonitor(4, 50).watch(batches), verbose=0, callbacks=[End()])
"""
# Of each program its flags, and what it prints when it is at work.
PROGRAMS = {
    "pretrain.py": ({**SIZES, **HEADS, "save-every": 5}, "loss:"),
    "finetune.py": ({**SIZES, "seconds": 0.5, "save-every": 5}, "loss:"),
    "quickstart.py": ({"epochs": 1000}, "Epoch 2/"),
    "write_records.py": ({"content": "log_mel", "clips-per-shard": 2}, "/file"),
}
ENDS = ["SIGINT", "SIGTERM", "SIGHUP", "reader gone"]
IN_FIT = {"exception": "raise LookupError", "sys.exit": "sys.exit(3)"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, help="of each end (default: %(default)s)")
    parser.add_argument("--programs", nargs="+", choices=[*PROGRAMS, "fit"])
    parser.add_argument("--ends", nargs="+", choices=ENDS, default=ENDS, help="of the recipes")
    parser.add_argument("--limit", type=float, default=10, help="seconds until a run hangs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recordings = write_recordings(Path(folder) / "recordings")
        for program in arguments.programs or [*PROGRAMS, "fit"]:
            for end in IN_FIT if program == "fit" else arguments.ends:
                output = Path(folder) / program / end
                ends = [
                    time_end(command(program, end, recordings, output), end, program)
                    for _ in range(arguments.runs)
                ]
                print(report(program, end, ends, arguments.limit), flush=True)


def write_recordings(folder, number=200, seconds=30):
    """Write recordings of two classes; return their folder."""
    generator = np.random.default_rng(1)
    noise = generator.uniform(-0.5, 0.5, 16000 * seconds)
    for index in range(number):
        path = folder / f"class{index % 2}" / f"{index}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.roll(noise, index), 16000)
    return folder


def command(program, end, recordings, output):
    """Return the command line of a program that works on recordings, into an output folder."""
    if program == "fit":
        return [sys.executable, "-c", FIT.format(end=IN_FIT[end]), str(recordings), str(output)]
    places = {
        "write_records.py": [recordings, output],
        "quickstart.py": ["--audio", recordings, "--output", output],
    }
    places = places.get(program, [recordings, "--output", output])
    flags = [text for flag in PROGRAMS[program][0].items() for text in (f"--{flag[0]}", flag[1])]
    return list(map(str, [sys.executable, RECIPES / program, *places, *flags]))


def time_end(command, end, program, longest=60):
    """Run a command until it works, end it, and return the seconds that its end took.

    Those are of the clock and of processors.

    Raises:
        RuntimeError: If it ended before it was at work.
    """
    # The process group is that of a shell's job, which Ctrl-C reaches as a whole.
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
    of_others = processor_seconds()
    process = subprocess.Popen(command, cwd=RECIPES.parent, **pipe)
    try:
        wait_for(process.stdout, "working" if program == "fit" else PROGRAMS[program][1])
        if program != "fit":
            time.sleep(random.uniform(0, 1))
        began, at_work = time.monotonic(), processor_seconds(process.pid)
        if end == "reader gone":
            process.stdout.close()
        elif end == "SIGINT":
            os.killpg(process.pid, signal.SIGINT)
        elif end in ENDS:
            process.send_signal(signal.Signals[end])
        try:
            process.communicate(timeout=longest)
        except subprocess.TimeoutExpired:
            return longest, processor_seconds(process.pid) - at_work
        return time.monotonic() - began, processor_seconds() - of_others - at_work
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def processor_seconds(pid=None):
    """Return the processor time of a process; without it, of all children that have ended."""
    if pid is None:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime
    # The name may have blanks, but ends with the last parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(stream, text):
    printed = b""
    while text.encode() not in printed:
        some = os.read(stream.fileno(), 65536)
        if not some:
            raise RuntimeError(f"It ended before it was at work:\n{printed.decode()}")
        printed += some


def report(program, end, ends, limit):
    seconds, of_processors = zip(*ends)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    in_time = sum(each <= limit for each in seconds)
    return (
        f"{backend:10} {program:16} {end:12} {in_time} of {len(seconds)} within {limit:g} s, "
        f"longest {max(seconds):.1f} s, processors {max(of_processors):.1f} s"
    )


if __name__ == "__main__":
    main()
