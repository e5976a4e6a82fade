"""Audio files with events at known times, whole and as windows of labeled steps."""

import dataclasses
import math
import os
import re
import warnings
from collections.abc import Sequence

import numpy as np

from keras_asit._arguments import check_choice, check_integers, check_number, name_some
from keras_asit.data.decoding import stated_seconds
from keras_asit.data.labels import UNKNOWN_LABELS
from keras_asit.data.manifests import open_manifest, read_columns
from keras_asit.data.sources import (
    LABEL_COLUMNS,
    PATH_COLUMNS,
    TABLES,
    absolute_path,
    check_files,
    search_folder,
    segment_finder,
)

# AudioSet Strong names segments: YouTube id, `_` and start in milliseconds.
SEGMENT_COLUMN = "segment_id"
COLUMNS = (
    (*PATH_COLUMNS, SEGMENT_COLUMN),
    ("onset", "start_time_seconds", "start"),
    ("offset", "end_time_seconds", "end"),
    ("event_label", *LABEL_COLUMNS),
)
# An offset may be rounded.
ROUNDING_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class LabeledEvents:
    """Paths of audio files, the events of each, and the names of all classes.

    Args:
        paths: list of strs.
        events: list of tuples, for each file its events: `(onset, offset, class)`, seconds from
            the file's start and the index of the class. Those of a class that touch become one.
        class_names: list of strs.
        seconds: list of floats, the duration of each file; 0 for one that cannot be read.

    Example:
    ```python
    events = [((0.2, 1.5, 0), (1.0, 2.0, 1)), ()]
    recordings = keras_asit.data.LabeledEvents(["a.wav", "b.wav"], events, ["dog", "cat"], [4, 10])
    ```
    """

    paths: list
    events: list
    class_names: list
    seconds: list

    def __post_init__(self):
        if not len(self.paths) == len(self.events) == len(self.seconds):
            raise ValueError(
                f"Every path needs its events and a duration. Received: {len(self.paths)} paths, "
                f"events of {len(self.events)}, durations of {len(self.seconds)}"
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(
                f"Class names must differ. Received: {name_some(self.class_names, 20)}"
            )
        for path, events in zip(self.paths, self.events):
            for onset, offset, index in events:
                is_known = index in range(len(self.class_names))
                if not (0 <= onset < offset < math.inf and is_known):
                    raise ValueError(
                        "An event must be (onset, offset, class): from 0 on, the offset behind "
                        f"the onset, and an index below {len(self.class_names)}. Received: "
                        f"{(onset, offset, index)} for {path}"
                    )
        object.__setattr__(self, "events", [_merged(events) for events in self.events])

    def __len__(self):
        return len(self.paths)

    def select(self, indices: Sequence[int]) -> "LabeledEvents":
        """Return the recordings of the given indices."""
        paths, events, seconds = (
            [values[index] for index in indices]
            for values in (self.paths, self.events, self.seconds)
        )
        return LabeledEvents(paths, events, self.class_names, seconds)

    def count_windows(self, seconds: float) -> list[int]:
        """Return how many windows of a duration cover each recording."""
        check_number("seconds", seconds, 1e-3)
        # A header may be off by a sample.
        return [max(1, math.ceil(whole / seconds - 1e-3)) for whole in self.seconds]


def _merged(events):
    """Return events by onset; those of a class that overlap or touch are one."""
    merged = []
    for onset, offset, index in sorted(events, key=lambda event: (event[2], event[0])):
        if merged and merged[-1][2] == index and onset <= merged[-1][1]:
            onset, before, _ = merged.pop()
            offset = max(offset, before)
        merged.append((onset, offset, index))
    return tuple(sorted(merged))


class EventWindows:
    """Windows that cover recordings, as few as do; of each the path, the place and the labels.

    `windows[index]` are the places of the ones among a window's labels, `(num_steps, classes)`
    flattened: of the steps that an event covers for the most part, or else the one of its onset.

    Args:
        recordings: a `LabeledEvents`.
        seconds: float. Duration of a window.
        num_steps: int. Steps of a window.

    Attributes:
        paths: list of strs, that of each window.
        offsets: list of floats, where each lies in its file, as in `decode_audio`.
    """

    def __init__(self, recordings, seconds, num_steps):
        check_integers(1, num_steps=num_steps)
        self.recordings, self.num_steps, self.seconds = recordings, num_steps, seconds
        counts = recordings.count_windows(seconds)
        self.files = np.repeat(np.arange(len(counts)), counts)
        self.paths = [recordings.paths[file] for file in self.files]
        self.offsets = np.concatenate([np.linspace(0, 1, count) for count in counts])

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        file, classes = self.files[index], len(self.recordings.class_names)
        start = self.offsets[index] * max(0.0, self.recordings.seconds[file] - self.seconds)
        places = [np.zeros(0, "int64")]
        for onset, offset, label in self.recordings.events[file]:
            first, stop = (
                math.floor((time - start) / self.seconds * self.num_steps + 0.5)
                for time in (onset, offset)
            )
            steps = np.arange(max(0, first), min(self.num_steps, max(stop, first + 1)))
            places.append(steps * classes + label)
        return np.concatenate(places)


def read_labeled_events(
    source: str | os.PathLike,
    *,
    class_names: Sequence[str] | dict | None = None,
    audio_folder: str | os.PathLike | None = None,
    missing: str = "error",
) -> LabeledEvents:
    """Return the recordings that `source` names, with their events.

    Args:
        source: str or `os.PathLike`. One of

            - a `.csv` or `.tsv` file with a row an event: a column of paths as in `read_manifest`,
              and `onset`, `offset` and `label`, as this package and DCASE (`filename`, `onset`,
              `offset`, `event_label`) write them. A row without the last three is a recording
              without an event;
            - AudioSet Strong's `.tsv`: `segment_id`, `start_time_seconds`, `end_time_seconds`,
              `label`. A segment is a YouTube id and a start in milliseconds; files are named as
              for `read_labeled_clips`;
            - a folder of audio files, each with labels that Audacity exported beside it, `a.txt`
              or `a.wav.txt` for `a.wav`; an empty one of a recording without an event.
        class_names, audio_folder, missing: as in `read_labeled_clips`. A label is one name,
            whatever is in it.

    Raises:
        ValueError: if the source cannot be read, or files of it are missing, or rows have an
            offset that is not behind the onset, times that are negative, no numbers or beyond the
            end, or no label or an unknown one: all of them at once, counted and named. A warning
            names those whose offset alone is beyond the end, to which it is set.
        OSError: if a folder, or one in it, cannot be searched.

    Example:
    ```python
    recordings = keras_asit.data.read_labeled_events("recordings")  # recordings/1.wav, 1.txt, ...
    ```

    Reference: Hershey et al., "The Benefit of Temporally-Strong Labels in Audio Event
    Classification", arXiv 2105.07031, for AudioSet Strong.
    """
    check_choice("missing", missing, ("error", "skip"))
    source = os.path.abspath(os.path.expanduser(source))
    rows = _read_label_files(source) if os.path.isdir(source) else _read_table(source, audio_folder)
    problems = {}
    events = [(row[0], _as_event(row, problems)) for row in rows]
    paths = list(dict.fromkeys(path for path, _ in events))
    absent = [path for path in paths if not os.path.isfile(path)]
    if class_names is None:
        class_names = sorted({event[2] for _, event in events if event})
    names = class_names if isinstance(class_names, dict) else dict(zip(class_names, class_names))
    unknown = {event[2] for _, event in events if event} - set(names)
    problems[UNKNOWN_LABELS] = sorted(unknown)
    if missing == "skip":
        paths = [path for path in paths if path not in set(absent)]
    seconds = {path: stated_seconds(path) for path in paths}
    cut = _cut_to_durations(events, seconds, problems)
    check_files(paths, source, problems=problems)
    if not paths:
        raise ValueError(f"{source} names no audio file that exists.")
    if absent:
        _warn(source, f"left out {len(absent)} files, which do not exist", absent)
    if cut:
        _warn(source, f"{len(cut)} events were cut that last beyond the end of their file", cut)
    indices = {label: index for index, label in enumerate(names)}
    by_path = {path: [] for path in paths}
    for path, event in events:
        if event and path in by_path:
            onset, offset, label = event
            by_path[path].append((onset, min(offset, seconds[path] or offset), indices[label]))
    return LabeledEvents(
        paths, list(by_path.values()), list(names.values()), list(seconds.values())
    )


def _read_table(source, audio_folder):
    """Return (path, onset, offset, label) of each row of a table, as texts."""
    if os.path.splitext(source)[1].lower() not in TABLES:
        raise ValueError(
            f"Events must be in {' or '.join(TABLES)}, or in a folder of Audacity's labels. "
            f"Received: {source!r}"
        )
    folder = os.path.abspath(os.path.expanduser(audio_folder or os.path.dirname(source)))
    with open_manifest(source) as file:
        header = set(re.split(r"[,;\s]+", file.readline().lower()))
        # Where files are named, a segment is but one more column.
        has_segments = SEGMENT_COLUMN in header and header.isdisjoint(PATH_COLUMNS)
        file.seek(0)
        rows = read_columns(file, *COLUMNS, folder=folder)
    if not rows:
        raise ValueError(f"Manifest {source!r} is empty; name at least one audio file.")
    find = _find_segment(folder) if has_segments else lambda name: name
    return [(absolute_path(find(name), folder), *cells) for name, *cells in rows]


def _find_segment(folder):
    find = segment_finder(folder)

    def find_segment(name):
        identifier, _, start = name.rpartition("_")
        if not start.isdecimal():
            raise ValueError(
                "A segment of AudioSet Strong must be a YouTube id, `_` and a start in "
                f"milliseconds. Received: {name!r}"
            )
        return find(identifier, start, f"{int(start) / 1000:g}", f"{int(start) / 1000:.3f}")

    return find_segment


def _read_label_files(folder):
    """Return (path, onset, offset, label) of each label of Audacity in a folder, as texts."""
    rows, unlabeled = [], []
    for path in search_folder(folder):
        beside = [f"{path}.txt", f"{os.path.splitext(path)[0]}.txt"]
        labels = next(filter(os.path.isfile, beside), None)
        if labels is None:
            unlabeled.append(path)
            continue
        with open_manifest(labels) as file:
            # Those that begin with a backslash are the frequencies of the label above.
            lines = [line.strip("\r\n") for line in file if line.strip() and line[0] != "\\"]
        cells = [(*line.split("\t", 2), "", "")[:3] for line in lines]
        rows += [(path, *map(str.strip, row)) for row in cells or [("", "", "")]]
    wrong = {"files without a .txt file of labels (an empty one is of no event)": unlabeled}
    check_files([path for path, *_ in rows], f"Folder {folder!r}", problems=wrong)
    if not rows:
        raise ValueError(f"Folder {folder!r} must hold audio files with labels beside them.")
    return rows


def _as_event(row, problems):
    """Return (onset, offset, label), or `None` of no event or a bad one, noted in `problems`."""
    _, *times, label = row
    if not any((*times, label)):
        return None
    try:
        onset, offset = map(float, times)
    except ValueError:
        onset = offset = math.nan
    if not math.isfinite(onset + offset):
        what = "rows whose times are no numbers"
    elif onset < 0:
        what = "rows with a negative onset"
    elif offset <= onset:
        what = "rows whose offset is not behind the onset"
    elif not label:
        what = "rows without a label"
    else:
        return onset, offset, label
    problems.setdefault(what, []).append(_text(row))
    return None


def _cut_to_durations(events, seconds, problems):
    """Return the events that last beyond the end of their file; note those that begin there."""
    cut = []
    for path, event in events:
        end = seconds.get(path)
        if event and end and event[0] >= end:
            what = "rows whose onset is beyond the end of the file"
            problems.setdefault(what, []).append(_text((path, *event)))
        elif event and end and event[1] > end + ROUNDING_SECONDS:
            cut.append(_text((path, *event)))
    return cut


def _text(row):
    return " ".join(map(str, row))


def _warn(source, what, items):
    warnings.warn(f"{source}: {what}: {name_some(map(repr, items))}", stacklevel=3)
