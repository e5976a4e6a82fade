"""Make recordings with events at known times, to train and test event detectors on.

    python recipes/make_mixtures.py mixtures
    python recipes/make_mixtures.py mixtures --also speech=SPEECH --seed 1

Sounds of the classes lie over a background, at random times and levels, as in Scaper. By default
both are recordings of the quickstart. Each split, train, validation and test, has recordings of
its own: no sound and no background is in two of them. For each there are a folder of wav files and
DCASE's table, `filename onset offset event_label`; recordings without an event have a row without
one.
"""

import argparse
import csv
from pathlib import Path

import lazy_loader
import numpy as np
from command_line import ending_in_one_line, number_between, positive_integer, recipe_parser

keras_asit = lazy_loader.load("keras_asit")

QUICKSTART = Path(__file__).parent / "quickstart_audio"
CLASSES = ["bass", "bass_drum", "electric", "mehackit", "tabla"]
SAMPLE_RATE = 16000
# Of the sounds of a class, and of the backgrounds.
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
MOST_EVENTS = 6
LONGEST_EVENT = 3.0
# Levels in dB: of the background below full scale, and of an event's loudest part above it.
BACKGROUND_LEVELS = (-50.0, -35.0)
EVENT_LEVELS = (6.0, 30.0)
# A sound is what is no more than this below its loudest part.
AUDIBLE_LEVEL = -30.0
# In dB of full scale.
SILENCE_LEVEL = -90.0
FADE_SECONDS = 0.01


def main():
    arguments = parse_arguments()
    with ending_in_one_line():
        make_mixtures(arguments)


def make_mixtures(arguments):
    import soundfile

    generator = np.random.default_rng(arguments.seed)
    sources = {
        name: divide(keras_asit.data.read_manifest(folder), generator)
        for name, folder in folders_of(arguments).items()
    }
    if arguments.output.exists():
        raise ValueError(f"{arguments.output} exists already; delete it or choose another OUTPUT.")
    arguments.output.mkdir(parents=True)
    for split in SHARES:
        sounds = {
            name: [read_sound(path) for path in parts[split]] for name, parts in sources.items()
        }
        backgrounds = sounds.pop("")
        rows, number = [], getattr(arguments, split)
        (arguments.output / split).mkdir()
        for index in range(number):
            mixture, events = mix(sounds, backgrounds, arguments.seconds, generator)
            name = f"{split}/{index:04}.wav"
            soundfile.write(arguments.output / name, mixture, SAMPLE_RATE)
            rows += [(name, *event) for event in events or [("", "", "")]]
        write_rows(arguments.output / f"{split}.tsv", rows)
        print(f"{split}: {sum(map(bool, (row[-1] for row in rows)))} events in {number} recordings")


def folders_of(arguments):
    """Return the folder of each class, and that of the backgrounds under no name."""
    check_names(arguments)
    folders = {name: arguments.sounds / name for name in arguments.classes}
    folders |= dict(arguments.also)
    return {**folders, "": arguments.background or arguments.sounds / "ambient"}


def check_names(arguments):
    """Raise `ValueError` if a class is named twice."""
    names = [*arguments.classes, *(name for name, _ in arguments.also)]
    if len(set(names)) < len(names):
        raise ValueError(f"A class is named twice in --classes and --also: {', '.join(names)}")


def divide(paths, generator):
    """Return the paths of each split, drawn at random; each has at least one."""
    paths = [paths[index] for index in generator.permutation(len(paths))]
    if len(paths) < len(SHARES):
        raise ValueError(
            f"{len(SHARES)} splits need as many recordings of each class, and backgrounds. "
            f"Received: {', '.join(paths)}"
        )
    held_out = max(1, round(SHARES["test"] * len(paths)))
    return {
        "test": paths[:held_out],
        "validation": paths[held_out : 2 * held_out],
        "train": paths[2 * held_out :],
    }


def read_sound(path):
    """Return the audible part of a recording, its loudest part at full scale."""
    waveform = keras_asit.data.decode_audio(path, sample_rate=SAMPLE_RATE)
    levels = levels_of(waveform)
    if levels.max() < SILENCE_LEVEL:
        raise ValueError(f"{path} is silent; take it out of its folder")
    audible = np.flatnonzero(levels >= levels.max() + AUDIBLE_LEVEL)
    hop = round(FADE_SECONDS * SAMPLE_RATE)
    sound = waveform[audible[0] * hop : (audible[-1] + 1) * hop]
    return sound / 10 ** (levels.max() / 20)


def levels_of(waveform):
    """Return the level of each 10 ms in dB."""
    hop = round(FADE_SECONDS * SAMPLE_RATE)
    frames = np.pad(waveform, (0, -len(waveform) % hop)).reshape(-1, hop)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-10)


def mix(sounds, backgrounds, seconds, generator):
    """Return a mixture and its events, (onset, offset, label) by onset."""
    length = round(seconds * SAMPLE_RATE)
    background = backgrounds[generator.integers(len(backgrounds))]
    level = generator.uniform(*BACKGROUND_LEVELS)
    first = generator.integers(len(background))
    mixture = np.resize(np.roll(background, -first), length)
    mixture = mixture / np.sqrt(np.mean(mixture**2)) * 10 ** (level / 20)
    events = []
    for _ in range(generator.integers(MOST_EVENTS + 1)):
        name = list(sounds)[generator.integers(len(sounds))]
        sound = cut(sounds[name][generator.integers(len(sounds[name]))], length)
        onset = generator.integers(length - len(sound) + 1)
        times = onset / SAMPLE_RATE, (onset + len(sound)) / SAMPLE_RATE
        # Two at once of a class would be one event.
        if any(label == name and on <= times[1] and off >= times[0] for on, off, label in events):
            continue
        gain = 10 ** ((level + generator.uniform(*EVENT_LEVELS)) / 20)
        mixture[onset : onset + len(sound)] += gain * sound
        events.append((*times, name))
    # Only what would be clipped is turned down.
    return mixture / max(1.0, np.abs(mixture).max() / 0.99), sorted(events)


def cut(sound, most):
    """Return at most the first seconds of a sound, faded in and out."""
    sound = sound[: min(most, round(LONGEST_EVENT * SAMPLE_RATE))].copy()
    fade = np.linspace(0, 1, min(len(sound) // 2, round(FADE_SECONDS * SAMPLE_RATE)))
    sound[: len(fade)] *= fade
    sound[len(sound) - len(fade) :] *= fade[::-1]
    return sound


def write_rows(path, rows):
    with (
        keras_asit._files.replacing(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(("filename", "onset", "offset", "event_label"))
        writer.writerows(
            (name, *(f"{time:.3f}" if time != "" else "" for time in times), label)
            for name, *times, label in rows
        )


def named_folder(text):
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"must be NAME=FOLDER, not {text}")
    return name, Path(folder)


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    add("output", type=Path, metavar="OUTPUT", help="folder that is made")
    add("--sounds", type=Path, default=QUICKSTART, help="with a folder a class")
    add("--classes", nargs="+", default=CLASSES, help="(default: %(default)s)")
    add("--background", type=Path, help="folder (default: ambient, of --sounds)")
    add(
        "--also",
        type=named_folder,
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="further classes, such as speech=RECORDINGS",
    )
    add("--seconds", type=number_between(1, 3600), default=10.0, help="(default: %(default)s)")
    add("--train", type=positive_integer, default=400, help="recordings (default: %(default)s)")
    add("--validation", type=positive_integer, default=100, help="(default: %(default)s)")
    add("--test", type=positive_integer, default=100, help="(default: %(default)s)")
    add("--seed", type=int, default=1, help="(default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
