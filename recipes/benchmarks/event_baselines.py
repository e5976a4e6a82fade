"""What an energy threshold finds of events, beside a trained detector.

    python recipes/benchmarks/event_baselines.py mixtures/validation.tsv mixtures/test.tsv

There is an event where the level of a step of 40 ms exceeds a threshold: absolute, or above the
median of the recording. Energy tells no classes: one baseline says that all of them are there, each
by the threshold and the median filter that suit it best, another the most frequent class alone. All
that can be chosen, the kind of level too, is chosen on the validation data.
"""

import argparse

import numpy as np

import keras_asit

SAMPLE_RATE = 16000
STEP_SECONDS = 0.04
# Levels in dB that are scores of 0 and 1; order alone counts between them.
LEVEL_RANGE = (-100.0, 100.0)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("validation", help="table of events, as for train_events.py")
    parser.add_argument("test")
    arguments = parser.parse_args()
    validation = keras_asit.data.read_labeled_events(arguments.validation)
    names = validation.class_names
    test = keras_asit.data.read_labeled_events(arguments.test, class_names=names)
    counts = np.bincount([event[2] for events in validation.events for event in events])
    print("| baseline | chosen | PSDS1 | event F1 | segment F1 |")
    print("|---|---|---|---|---|")
    for baseline, classes in (("every class", counts > 0), ("one", counts == counts.max())):
        print_baseline(baseline, classes, validation, test)


def print_baseline(baseline, classes, validation, test):
    best = None
    for kind in ("absolute", "above the median"):
        scores = score(validation, kind, classes)
        thresholds, lengths = keras_asit.evaluation.choose_thresholds(
            scores, validation, STEP_SECONDS
        )
        options = {"thresholds": thresholds, "median_steps": lengths}
        metrics = keras_asit.evaluation.event_metrics(scores, validation, STEP_SECONDS, **options)
        if best is None or metrics["event_f1"] > best[0]:
            best = metrics["event_f1"], kind, options
    _, kind, options = best
    metrics = keras_asit.evaluation.event_metrics(
        score(test, kind, classes), test, STEP_SECONDS, **options
    )
    values = " | ".join(f"{metrics[name]:.3f}" for name in ("psds1", "event_f1", "segment_f1"))
    print(f"| {baseline} | {kind} | {values} |")


def score(recordings, kind, classes):
    """Return levels of each recording as scores of some classes, and zeros of the others."""
    size = round(STEP_SECONDS * SAMPLE_RATE)
    scores = []
    for path in recordings.paths:
        waveform = keras_asit.data.decode_audio(path, sample_rate=SAMPLE_RATE)
        steps = np.pad(waveform, (0, -len(waveform) % size)).reshape(-1, size)
        levels = 10 * np.log10(np.mean(steps**2, axis=1) + 1e-10)
        levels -= np.median(levels) if kind == "above the median" else 0
        shares = np.interp(levels, LEVEL_RANGE, (0, 1))
        scores.append(shares[:, None] * classes)
    return scores


if __name__ == "__main__":
    main()
