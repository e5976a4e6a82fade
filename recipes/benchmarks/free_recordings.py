"""List the recordings that `asit_small_free_16k` was trained on, of sources that lie in a folder.

    git clone --depth 1 https://github.com/sfzinstruments/body_percussion SOURCES/body_percussion
    apt-get download asterisk-core-sounds-it-wav
    dpkg -x asterisk-core-sounds-it-wav_*.deb SOURCES/asterisk-it
    ...
    python recipes/benchmarks/free_recordings.py SOURCES --without DATA --output recordings

The file `SOURCES.csv` of the preset names the folders of SOURCES and where each is from; it is said
how many recordings were found in each and how many the preset has heard. Of each source are left
out: what is shorter than 0.1 s or cannot be read, what repeats another recording, or one of the
tasks' folder DATA or of the quickstart, and what the rules below say. The samples of SoundFonts are
written into OUTPUT; OUTPUT/recordings.csv is the manifest.
"""

import argparse
import csv
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import soundfile
from feature_tasks import QUICKSTART

import keras_asit
from keras_asit._files import sha256_of
from keras_asit.data.decoding import UNREADABLE

PRESET = Path(keras_asit.models.__file__).parent / "asit_small_free_16k"
SHORTEST = 0.1
# In seconds: these have so many recordings that long ones are left out.
LONGEST = {"berklee-olpc": 6.0, "rhasspy-kerstin": 6.0}
AUDIO = {".wav", ".flac", ".ogg", ".mp3"}
# Of a pair of samples of a SoundFont.
RIGHT = 2
# Only these paths of a source: what is free there.
ONLY = {
    "berklee-olpc": r"^berklee/",
    "corpusc-cc0-sounds": r"(?i)^[^/]*(cc0|kenney)",
    "thorsten-voice-samples": r"^samples/",
    "ljspeech-excerpt-coqui": r"^tests/data/ljspeech/",
}
# Sources of which only what licenses/*.txt gives away counts, but words of the tasks.
LISTED = {"mycroft-precise-community", "ovos-ww-community"}
TASK_WORDS = re.compile(r"computer|savant|computador|ordenador")


def main():
    arguments = parse_arguments()
    heard = {sha256_of(path) for path in files(QUICKSTART)}
    for folder in arguments.without:
        heard.update(sha256_of(path) for path in files(folder))
    arguments.output.mkdir(parents=True, exist_ok=True)
    chosen = []
    with (PRESET / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = row["source"]
            found = recordings(arguments.sources / name, name, arguments.output, heard)
            print(f"{name}: {len(found)} of {row['files']}")
            chosen += found
    with (arguments.output / "recordings.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path"], *([path.absolute()] for path in chosen)])
    print(f"{len(chosen)} recordings in {arguments.output / 'recordings.csv'}")


def recordings(folder, name, output, heard):
    """Return the paths of a source's recordings; the hashes of their contents join `heard`."""
    paths = free_files(folder, name)
    for font in folder.rglob("*.sf2"):
        paths += unpack(font, output / name)
    longest = LONGEST.get(name, np.inf)
    found = []
    for path in paths:
        content = sha256_of(path)
        if content not in heard and SHORTEST <= seconds_of(path) <= longest:
            heard.add(content)
            found.append(path)
    return found


def files(folder):
    """Return the audio files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO)


def free_files(folder, name):
    """Return the audio files of a source that the rules leave in."""
    inside = {path: path.relative_to(folder).as_posix() for path in files(folder)}
    if name not in LISTED:
        return [path for path in inside if re.search(ONLY.get(name, ""), inside[path])]
    listed = "".join(text.read_text(errors="replace") for text in folder.glob("licenses/*.txt"))
    return [path for path in inside if path.name in listed and not TASK_WORDS.search(inside[path])]


def seconds_of(path):
    try:
        return soundfile.info(path).duration
    except UNREADABLE as error:
        warnings.warn(f"Skipped: {error}", stacklevel=1)
        return 0.0


def unpack(font, folder):
    """Write the samples of a SoundFont, of stereo ones the left, as files; return their paths."""
    content = font.read_bytes()
    samples = np.frombuffer(chunk(content, b"smpl"), "<i2")
    headers = chunk(content, b"shdr")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    # The last header ends the list.
    for index in range(len(headers) // 46 - 1):
        header = struct.unpack_from("<5IBbHH", headers, 46 * index + 20)
        first, last, rate, kind = *header[:2], header[4], header[-1]
        if kind == RIGHT:
            continue
        paths.append(folder / f"{index:04d}.wav")
        soundfile.write(paths[-1], samples[first:last], rate)
    return paths


def chunk(content, name):
    """Return the bytes of a chunk of a RIFF file, whatever list it is in."""
    start = content.index(name) + 8
    return content[start : start + struct.unpack_from("<I", content, start - 4)[0]]


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("sources", metavar="SOURCES", type=Path, help="folder of clones and unpacked packages")
    add(
        "--without",
        type=Path,
        nargs="+",
        default=[],
        metavar="DATA",
        help="folders of recordings that must not be heard",
    )
    add("--output", type=Path, required=True, help="folder of the manifest, recordings.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
