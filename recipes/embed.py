"""Embed every recording of a folder, in one table.

    python recipes/embed.py RECORDINGS --preset runs/small/teacher --output embeddings.parquet
    python recipes/embed.py RECORDINGS --preset runs/small/teacher --output frames.npz --frames

RECORDINGS is a folder, searched whole, or a .txt, .csv or .json manifest. A row a recording: `path`
and `embedding`, the average over windows that cover it. The table is Parquet (.parquet) or NumPy's
archive (.npz). With --frames (.npz only) `embedding` and `timestamp` (in milliseconds) have a row
every 40 ms of each recording in turn, and `num_frames` says how many rows each of `path` has.

The work is kept in parts beside the output until all are done: the same command goes on where it
was interrupted. Choose the backend with KERAS_BACKEND.
"""

import argparse
import hashlib
import json
import shutil
import warnings
from pathlib import Path

import keras
import numpy as np
from command_line import ending_in_one_line, overlap, positive_integer

import keras_asit
import keras_asit.hear
from keras_asit._extras import of_extra
from keras_asit._files import replacing
from keras_asit.layers.pooling import DEFAULT_POOLING, POOLINGS


def main():
    arguments = parse_arguments()
    with ending_in_one_line("The same command goes on from the last whole part."):
        embed(arguments)


def embed(arguments):
    check_output(arguments)
    paths = keras_asit.data.read_manifest(arguments.source)
    model = keras_asit.hear.load_model(arguments.preset)
    clip_model = model.backbone.feature_model(arguments.pooling, arguments.blocks)
    folder = arguments.output.with_name(f"{arguments.output.name}.parts")
    claim(folder, fingerprint(paths, model, arguments))
    parts = []
    progress = keras.utils.Progbar(len(paths), unit_name="file")
    for first in range(0, len(paths), arguments.part_size):
        some = paths[first : first + arguments.part_size]
        parts.append(folder / f"{first:09}.npz")
        if not parts[-1].exists():
            if arguments.frames:
                columns = embed_frames(some, model)
            else:
                columns = embed_clips(some, clip_model, model.converter, arguments)
            write_npz(parts[-1], columns)
        progress.update(first + len(some))
    number = join(parts, arguments.output)
    shutil.rmtree(folder)
    print(f"{number} of {len(paths)} recordings embedded in {arguments.output}")


def check_output(arguments):
    output = arguments.output
    if output.suffix not in ((".npz",) if arguments.frames else (".npz", ".parquet")):
        raise ValueError(
            f"The output must end in .npz or, without --frames, .parquet. Received: {output}"
        )
    if output.exists():
        raise ValueError(f"{output} exists already; delete it or choose another --output.")
    if output.suffix == ".parquet":
        import_parquet()
    output.parent.mkdir(parents=True, exist_ok=True)


def embed_clips(paths, model, converter, arguments):
    """Return columns with a row for each readable recording."""
    embeddings, indices = keras_asit.evaluation.predict_recordings(
        model,
        paths,
        converter=converter,
        overlap=arguments.overlap,
        batch_size=arguments.batch_size,
        at_least=0,
        pad_with_silence=True,
    )
    return {"path": names_of(paths)[indices], "embedding": embeddings}


def embed_frames(paths, model):
    """Return columns with a row for each readable recording, or for each of its frames."""
    readable, embeddings, timestamps = [], [], []
    for path in paths:
        try:
            waveform = keras_asit.data.decode_audio(path, sample_rate=model.sample_rate)
        except (ValueError, OSError, RuntimeError) as error:
            warnings.warn(f"Skipped: {error}", stacklevel=1)
            continue
        frames, times = keras_asit.hear.get_timestamp_embeddings(waveform[None], model)
        readable.append(path)
        embeddings.append(frames[0])
        timestamps.append(times[0])
    nothing = np.zeros((0, model.timestamp_embedding_size), "float32")
    return {
        "path": names_of(readable),
        "num_frames": np.array([len(times) for times in timestamps], "int64"),
        "embedding": np.concatenate([nothing, *embeddings]),
        "timestamp": np.concatenate([nothing[:, 0], *timestamps]),
    }


def names_of(paths):
    """Return paths as Unicode, which Parquet demands; what is not UTF-8 in them is escaped."""
    return np.array([path.encode("utf-8", "backslashreplace").decode() for path in paths], str)


def fingerprint(paths, model, arguments):
    """Return what tells a run from every other one whose parts must not be mixed with its own."""
    names = ("frames", "pooling", "blocks", "overlap", "part_size")
    settings = {name: getattr(arguments, name) for name in names}
    configs = [model.backbone.get_config(), model.converter.get_config()]
    digest = hashlib.sha256(json.dumps([paths, settings, configs], default=str).encode())
    for weight in model.backbone.get_weights():
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()


def claim(folder, fingerprint):
    """Make the folder of the parts, or raise `ValueError` if it is another run's."""
    folder.mkdir(exist_ok=True)
    file = folder / "fingerprint.txt"
    if not file.exists():
        with replacing(file) as temporary:
            temporary.write_text(fingerprint)
    elif file.read_text() != fingerprint:
        raise ValueError(
            f"{folder} holds parts of a run with other recordings, weights or flags; delete it "
            "or choose another --output."
        )


def write_npz(path, columns):
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **columns)


def join(parts, output):
    """Write one table of all parts; return the number of recordings in it."""
    number = sum(len(np.load(part)["path"]) for part in parts)
    if not number:
        raise ValueError("None of the recordings could be read.")
    if output.suffix == ".npz":
        tables = [dict(np.load(part)) for part in parts]
        columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        write_npz(output, columns)
    else:
        with replacing(output) as temporary:
            write_parquet(parts, temporary)
    return number


def write_parquet(parts, path):
    pyarrow = import_parquet()
    width = np.load(parts[0])["embedding"].shape[1]
    kind = pyarrow.list_(pyarrow.float32(), width)
    schema = pyarrow.schema([("path", pyarrow.string()), ("embedding", kind)])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for part in map(np.load, parts):
            values = pyarrow.array(part["embedding"].ravel())
            rows = pyarrow.FixedSizeListArray.from_arrays(values, width)
            columns = [pyarrow.array(part["path"].tolist(), pyarrow.string()), rows]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


def import_parquet():
    with of_extra("parquet"):
        import pyarrow.parquet
    return pyarrow


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", metavar="RECORDINGS", help="folder or manifest")
    add("--preset", default=keras_asit.hear.DEFAULT_PRESET, help="(default: %(default)s)")
    add("--output", type=Path, default=Path("embeddings.npz"), help="(default: %(default)s)")
    add("--frames", action="store_true", help="embed every 40 ms, not whole recordings")
    add("--pooling", choices=POOLINGS, default=DEFAULT_POOLING)
    add("--blocks", type=int, nargs="+", help="pool these, -1 the last (default: the output)")
    add("--overlap", type=overlap, default=0.0, help="of windows (default: %(default)s)")
    for flag, default, help in (
        ("--batch-size", 32, "windows at once"),
        ("--part-size", 256, "recordings a part"),
    ):
        add(flag, type=positive_integer, default=default, help=f"{help} (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
