"""The tasks that `features.py` measures on: recordings of one class each, in three fixed parts.

Each is read from its own folder inside one folder of data sets:

| task | folder | what is held out for the test |
|---|---|---|
| fsdd-digits, fsdd-speakers | fsdd/recordings | recordings 5 to 14 of each digit and speaker |
| fsdd-new-speakers | fsdd/recordings | digits, by speakers who are not in training |
| gcin-syllables | gcin-voice | one of a syllable's four tones, by both voices |
| gcin-tones | gcin-voice | a fifth of the syllables, in all their tones |
| wake-words | wake-word-benchmark/audio | a fifth of each word; the speakers are not known |
| quickstart | (in this repository) | a third of each category of at least six |
| drums | hydrogen-drumkits | instruments, of a third of the drum kits |
| esc50 | ESC-50-master | fold 1 |
| speech-commands | speech_commands_v0.02 | its own test clips |
| voxceleb1 | voxceleb1 | its own test clips |

What is not held out by a data set itself is drawn once, the same in every run, and validation
clips are drawn from what remains in the same way where a data set has none.
"""

import collections
import dataclasses
import functools
import re
import sys
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from keras_asit._files import sha256_of
from keras_asit.data import (
    decode_audio,
    read_esc50,
    read_labeled_clips,
    read_manifest,
    read_speech_commands,
    read_spoken_digits,
    read_voxceleb1,
)
from keras_asit.data.decoding import UNREADABLE

QUICKSTART = Path(__file__).parents[1] / "quickstart_audio"

# Instruments that most drum kits have, by the names of their files; the first that fits counts.
INSTRUMENTS = {
    "kick": r"kick|bass_?drum|^bd|_bd_|_k_",
    "snare": r"snare|^sd_|^sn\d?_|_sn_",
    "tom": r"tom|^t\d_|^ft_|^tm\d?_",
    "closed hi-hat": r"hat.?closed|hat.(\d.)?cl|closehihat|hhclosed|^hh_0|chh",
    "open hi-hat": r"hat.?open|hat.(\d.)?op|openhat|hhopen|^ho_|^hh2_|ohh",
    "ride": r"ride|^rc_|^rd\d?_",
    "crash": r"crash|^cc_|^cra_|^cb\d?_",
}


@dataclasses.dataclass(frozen=True)
class Task:
    """Paths of recordings, the class of each, and whether it is for train, validation or test."""

    name: str
    paths: list
    labels: np.ndarray
    parts: np.ndarray

    @functools.cached_property
    def contents(self) -> list:
        """The hash of each recording."""
        return [sha256_of(path) for path in self.paths]

    def readable(self) -> "Task":
        """Return the task without the recordings that cannot be decoded, which are named."""
        kept = [index for index, path in enumerate(self.paths) if is_readable(path)]
        paths = [self.paths[index] for index in kept]
        return Task(self.name, paths, self.labels[kept], self.parts[kept])

    def divide(self, validation: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the clips to train on and of those to measure on.

        For `validation`, the test clips are not used at all; else the validation clips are for
        training too.
        """
        measured = "validation" if validation else "test"
        trained = self.parts == "train" if validation else self.parts != "test"
        return np.flatnonzero(trained), np.flatnonzero(self.parts == measured)


def read_task(name, folder):
    """Return a task, or raise `ValueError` or `OSError` if its data set is not there."""
    reader, place, share = TASKS[name]
    rows = reader(folder / place)
    paths, labels, groups, parts = zip(*rows)
    labels, groups, parts = np.array(labels), np.array(groups), np.array(parts, "U10")
    for part, of_rest in (("test", share), ("validation", share / (1 - share))):
        if part not in parts:
            rest = np.flatnonzero(parts == "train")
            parts[rest[hold_out(labels[rest], groups[rest], of_rest)]] = part
    task = Task(name, list(paths), labels, parts)
    check_classes(task)
    return task


def is_readable(path):
    try:
        decode_audio(path)
    except UNREADABLE as error:
        print(f"Left out: {error}", file=sys.stderr)
        return False
    return True


def hold_out(labels, groups, share):
    """Return indices of a share of each class, groups being kept together."""
    number = round(1 / share)
    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < number:
        few = f"{counts.min()} recordings of {str(names[counts.argmin()])!r}"
        raise ValueError(f"There are {few}: a part of {number} cannot be held out.")
    folds = StratifiedGroupKFold(number, shuffle=True, random_state=0)
    return next(folds.split(labels, labels, groups))[1]


def check_classes(task):
    names, counts = np.unique(task.labels[task.parts == "train"], return_counts=True)
    for name in sorted({*task.labels} - {*names[counts > 1]}):
        raise ValueError(f"{task.name} has fewer than two training clips of {str(name)!r}.")


def as_given(splits):
    """Return rows of path, class, group and part; each clip is a group of its own."""
    return [
        (path, clips.class_names[label], path, part)
        for part, clips in splits.items()
        for path, label in zip(clips.paths, clips.label_indices())
    ]


def class_folders(folder):
    return as_given({"train": read_labeled_clips(folder)})


def categories(folder):
    """Return the rows of folders of at least six recordings, two for each part."""
    rows = class_folders(folder)
    sizes = collections.Counter(label for _, label, *_ in rows)
    return [row for row in rows if sizes[row[1]] >= 6]


def new_speakers(folder):
    rows = as_given(read_spoken_digits(folder, "digit"))
    return [(path, digit, Path(path).stem.split("_")[1], "train") for path, digit, *_ in rows]


def toned_syllables(folder):
    """Return triples of path, syllable and tone, but those of the neutral tone, which are few."""
    triples = []
    for path in read_manifest(folder):
        # The first tone is not written; the neutral one is a 1.
        syllable, tone = re.fullmatch(r"(.+?)([1-4]?)", Path(path).parent.name).groups()
        if tone != "1":
            triples.append((path, syllable, tone or "1"))
    return triples


def syllables(folder):
    """Return rows of the syllables that exist in all four tones; a tone of each is a group."""
    triples = toned_syllables(folder)
    tones = {}
    for _, syllable, tone in triples:
        tones.setdefault(syllable, set()).add(tone)
    return [
        (path, syllable, syllable + tone, "train")
        for path, syllable, tone in triples
        if len(tones[syllable]) == 4
    ]


def tones(folder):
    return [(path, tone, syllable, "train") for path, syllable, tone in toned_syllables(folder)]


def drums(folder):
    paths = read_manifest(folder)
    rows = [
        (path, instrument_of(Path(path).stem), Path(path).parent.name, "train") for path in paths
    ]
    return [row for row in rows if row[1]]


def instrument_of(name):
    """Return the instrument that a file is named for, or `None`."""
    fits = (key for key, form in INSTRUMENTS.items() if re.search(form, name.lower()))
    return next(fits, None)


# Reader, folder, and the share of clips for the test, and for validation.
TASKS = {
    "fsdd-digits": (lambda folder: as_given(read_spoken_digits(folder)), "fsdd/recordings", 1 / 5),
    "fsdd-speakers": (
        lambda folder: as_given(read_spoken_digits(folder, "speaker")),
        "fsdd/recordings",
        1 / 5,
    ),
    "fsdd-new-speakers": (new_speakers, "fsdd/recordings", 1 / 3),
    "gcin-syllables": (syllables, "gcin-voice", 1 / 4),
    "gcin-tones": (tones, "gcin-voice", 1 / 5),
    "wake-words": (class_folders, "wake-word-benchmark/audio", 1 / 5),
    "quickstart": (lambda folder: categories(QUICKSTART), "", 1 / 3),
    "drums": (drums, "hydrogen-drumkits", 1 / 3),
    "esc50": (lambda folder: as_given(read_esc50(folder, 1)), "ESC-50-master", 1 / 5),
    "speech-commands": (
        lambda folder: as_given(read_speech_commands(folder)),
        "speech_commands_v0.02",
        1 / 5,
    ),
    "voxceleb1": (lambda folder: as_given(read_voxceleb1(folder)), "voxceleb1", 1 / 5),
}
