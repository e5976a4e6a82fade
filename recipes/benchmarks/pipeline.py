"""How many clips a second the pre-training pipeline yields, on one core and on several.

Makes synthetic clips of 10 s at 32 kHz in a temporary folder and measures, each in a process
of its own that is bound to its cores, `keras_asit.data.pretraining_dataset` and, beside it, a
plain loader as research code has it: a clip at a time in numpy, masks included (which
`ASiTPretrainer` draws on the device). Every clip is decoded and becomes two views of 6 s.

Reads from files in the page cache. Linux only, since processes are bound to cores.
"""

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np

SAMPLE_RATE = 32000
CLIP_SECONDS = 10
CROP_SECONDS = 6
NUM_FRAMES, NUM_MELS = 592, 128
MEAN, STANDARD_DEVIATION = -4.2677393, 4.5689974


def main():
    arguments = parse_arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_clips(folder, arguments.clips)
        cases = {("plain loader", 1): partial(plain_passes, paths)}
        for cores in arguments.cores:
            for kind in ("spectrograms", "waveforms"):
                cases[kind, cores] = partial(
                    pretraining_passes,
                    paths,
                    cores,
                    batch_size=arguments.batch_size,
                    spectrograms=kind == "spectrograms",
                )
        report(measure_all(cases, arguments.seconds))


def parse_arguments(description, *, cores=(1, 2), repeat=None):
    """Return the flags that these benchmarks share; with a default of `repeat`, that one too."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--clips", type=int, default=64, help="different clips (default: %(default)s)")
    if repeat is not None:
        add(
            "--repeat",
            type=int,
            default=repeat,
            help=f"times each is stored (default: {repeat})",
        )
    add("--batch-size", type=int, default=16, help="default: %(default)s")
    add("--seconds", type=float, default=6, help="length of a measurement (default: %(default)s)")
    add("--cores", type=int, nargs="+", default=cores, help="how many (default: %(default)s)")
    arguments = parser.parse_args()
    available = len(os.sched_getaffinity(0))
    if max(arguments.cores) > available:
        parser.error(f"--cores: this machine has {available}")
    if not 1 <= arguments.batch_size <= arguments.clips * getattr(arguments, "repeat", 1):
        parser.error("--batch-size must be at least 1 and at most the number of clips")
    return arguments


def measure_all(cases, seconds):
    """Return measurements of cases, a dict from (kind, cores) to a function that makes passes."""
    return {
        (kind, cores): measure_apart(make_passes, cores, seconds)
        for (kind, cores), make_passes in cases.items()
    }


def write_clips(folder, number):
    """Write 16-bit mono clips of noise whose loudness and color change; return their paths."""
    import soundfile

    generator = np.random.default_rng(0)
    paths = []
    for index in range(number):
        noise = generator.standard_normal(SAMPLE_RATE * CLIP_SECONDS)
        colored = np.convolve(noise, generator.standard_normal(8), mode="same")
        loudness = np.repeat(generator.uniform(0.001, 1, CLIP_SECONDS), SAMPLE_RATE)
        paths.append(os.path.join(folder, f"{index}.wav"))
        samples = 0.5 * loudness * colored / np.abs(colored).max()
        soundfile.write(paths[-1], samples, SAMPLE_RATE, subtype="PCM_16")
    return paths


def measure_apart(make_passes, cores, seconds):
    """Measure in a new process, so that thread pools have the size of its cores."""
    os.environ["OMP_NUM_THREADS"] = str(cores)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, make_passes, cores, seconds).result()


def measure(make_passes, cores, seconds):
    """Return clips per second and processor milliseconds per clip, medians over passes."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    run_pass = make_passes()
    run_pass()
    rates, costs = [], []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or not rates:
        start, start_cpu = time.perf_counter(), time.process_time()
        clips = run_pass()
        rates.append(clips / (time.perf_counter() - start))
        costs.append(1000 * (time.process_time() - start_cpu) / clips)
    return statistics.median(rates), statistics.median(costs)


def report(results):
    print(f"{'':24}{'cores':>7}{'clips/s':>10}{'ms/clip':>10}{'CPU ms/clip':>14}")
    for (kind, cores), (rate, cost) in results.items():
        print(f"{kind:24}{cores:7d}{rate:10.1f}{1000 / rate:10.2f}{cost:14.2f}")
    plain, _ = results["plain loader", 1]
    for (kind, cores), (rate, _) in results.items():
        if kind == "plain loader":
            continue
        print(f"{kind} on {cores}: {rate / plain:.2f} times the plain loader", end="")
        single, _ = results.get((kind, 1), (None, None))
        print(f", {rate / single:.2f} times one core" if single and cores > 1 else "")


def pretraining_passes(source, cores, **kwargs):
    """Return a function that runs one pass of `pretraining_dataset`."""
    from keras_asit.data import pretraining_dataset
    from keras_asit.models import ASiTAudioConverter

    limit_threads(cores)
    dataset = pretraining_dataset(
        source,
        converter=ASiTAudioConverter(SAMPLE_RATE),
        crop_seconds=CROP_SECONDS,
        seed=0,
        num_workers=cores,
        **kwargs,
    )
    return dataset_passes(dataset, cores)


def limit_threads(cores):
    """Let TensorFlow have as many threads as cores; must come before it does anything."""
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(cores)
    tf.config.threading.set_intra_op_parallelism_threads(1)


def dataset_passes(dataset, cores):
    """Return a function that runs one pass of a dataset, on as many threads as cores."""
    import tensorflow as tf

    options = tf.data.Options()
    options.threading.private_threadpool_size = cores
    options.threading.max_intra_op_parallelism = 1
    dataset = dataset.with_options(options)

    def run_pass():
        return sum(len(batch["clean"]) for batch in dataset)

    return run_pass


def plain_passes(paths):
    """Return a function that runs one pass of the plain loader."""
    import soundfile

    generator = np.random.default_rng(0)
    taper = np.hanning(SAMPLE_RATE // 40).astype("float32")
    filters = plain_filters()

    def run_pass():
        for path in paths:
            waveform, _ = soundfile.read(path, dtype="float32")
            if generator.random() < 0.5:
                waveform = np.roll(waveform, generator.integers(len(waveform)))
            for _ in range(2):
                crop = CROP_SECONDS * SAMPLE_RATE
                start = generator.integers(len(waveform) - crop + 1)
                view = plain_filterbank(waveform[start : start + crop], taper, filters)
                plain_mask(view, generator)
        return len(paths)

    return run_pass


def plain_filters(fft_size=1024, low_frequency=20.0):
    """Return Kaldi's triangular mel filters as a matrix of (FFT bins, mels)."""

    def mel(frequency):
        return 1127.0 * np.log1p(frequency / 700.0)

    edges = np.linspace(mel(low_frequency), mel(SAMPLE_RATE / 2), NUM_MELS + 2)
    bins = mel(np.arange(fft_size // 2) * SAMPLE_RATE / fft_size)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype("float32")


def plain_filterbank(waveform, taper, filters):
    """Return the normalized log-mel spectrogram of a crop, step by step as Kaldi has it."""
    import scipy.fft

    waveform = waveform - waveform.mean()
    windows = np.lib.stride_tricks.sliding_window_view(waveform, len(taper))
    frames = windows[:: SAMPLE_RATE // 100]
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - np.float32(0.97) * previous) * taper
    power = np.abs(scipy.fft.rfft(frames, 2 * len(filters))) ** 2
    log_mels = np.log(np.maximum(power[:, :-1] @ filters, np.float32(1.1920929e-07)))
    return ((log_mels[:NUM_FRAMES] - MEAN) / (2 * STANDARD_DEVIATION)).astype("float32")


def plain_mask(view, generator):
    """Return a view with rectangles zeroed until 50 to 70 % of it are, and their mask."""
    mask = np.zeros(view.shape, "float32")
    share = generator.uniform(0.5, 0.7) * mask.size
    while mask.sum() < share:
        frame, mel = generator.integers(view.shape)
        frames = generator.integers(1, int(0.3 * NUM_FRAMES))
        mels = generator.integers(1, int(0.3 * NUM_MELS))
        mask[frame : frame + frames, mel : mel + mels] = 1
    return np.where(mask > 0, 0, view), mask


if __name__ == "__main__":
    main()
