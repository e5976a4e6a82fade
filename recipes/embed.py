"""Embed recordings, in one table.

    python recipes/embed.py RECORDINGS --preset runs/small/teacher --output embeddings.parquet
    python recipes/embed.py RECORDINGS --preset runs/small/teacher --output frames.npz --frames

RECORDINGS are folders, searched whole, .txt, .csv, .tsv or .json manifests, or audio files. A row a
recording: `path` and `embedding`, the average over windows that cover it. The table is Parquet
(.parquet) or NumPy's archive (.npz). With --frames (.npz only) `embedding` and `timestamp` (in
milliseconds) have a row every 40 ms of each recording in turn, and `num_frames` says how many rows
each of `path` has.

The work is kept in parts beside the output until all are done: the same command goes on where it
was interrupted. Choose the backend with KERAS_BACKEND.
"""

import warnings
from pathlib import Path

import lazy_loader
import numpy as np
from command_line import (
    DEFAULT_POOLING,
    POOLINGS,
    ending_in_one_line,
    overlap,
    positive_integer,
    recipe_parser,
)
from recordings import (
    Parts,
    check_absent,
    fingerprint,
    list_unreadable,
    name_of,
    read_recordings,
    read_waveforms,
)
from tables import import_parquet

keras_asit = lazy_loader.load("keras_asit")


def main():
    arguments = parse_arguments()
    # All of them are listed at the end.
    warnings.filterwarnings("ignore", message="Skipped")
    with ending_in_one_line("The same command goes on from the last whole part."):
        embed(arguments)


def embed(arguments):
    from keras_asit.hear import load_model

    check_output(arguments)
    paths = read_recordings(arguments.sources)
    model = load_model(arguments.preset)
    names = ("frames", "pooling", "blocks", "overlap", "part_size")
    settings = {name: getattr(arguments, name) for name in names}
    identity = fingerprint(model.backbone, paths, model.converter.get_config(), settings)
    parts = Parts(paths, arguments.output, identity, size=arguments.part_size, suffix=".npz")
    if arguments.frames:
        files = parts.work(lambda some: embed_frames(some, model), write_frames)
    else:
        clip_model = model.backbone.feature_model(arguments.pooling, arguments.blocks)
        files = parts.work(
            lambda some: embed_clips(some, clip_model, model.converter, arguments), write_clips
        )
    readable = [path for file in files for path in np.load(file)["path"]]
    list_unreadable(paths, readable)
    join(files, arguments.output)
    parts.clear()
    print(f"{len(readable)} of {len(paths)} recordings embedded in {arguments.output}")


def check_output(arguments):
    output = arguments.output
    if output.suffix not in ((".npz",) if arguments.frames else (".npz", ".parquet")):
        raise ValueError(
            f"The output must end in .npz or, without --frames, .parquet. Received: {output}"
        )
    if output.suffix == ".parquet":
        import_parquet()
    check_absent(output)


def embed_clips(paths, model, converter, arguments):
    """Yield (index, embedding) of each readable recording."""
    windows = keras_asit.evaluation.windows.placed_windows(
        paths,
        converter,
        overlap=arguments.overlap,
        batch_size=arguments.batch_size,
        at_least=0,
        pad_with_silence=True,
    )
    for index, _, outputs in keras_asit.evaluation.windows.outputs_of_recordings(model, windows):
        yield index, outputs.mean(axis=0, dtype="float64")


def embed_frames(paths, model):
    """Yield (index, embeddings and timestamps) of each readable recording."""
    from keras_asit.hear import get_timestamp_embeddings

    for index, waveform in read_waveforms(paths, model.sample_rate):
        frames, times = get_timestamp_embeddings(waveform[None], model)
        yield index, (frames[0], times[0])


def write_clips(path, results):
    """Write a row for each recording."""
    embeddings = np.stack([embedding for _, embedding in results]).astype("float32")
    write_npz(path, {"path": path_column(results), "embedding": embeddings})


def write_frames(path, results):
    """Write a row for each frame of recordings."""
    columns = {
        "path": path_column(results),
        "num_frames": np.array([len(times) for _, (_, times) in results], "int64"),
        "embedding": np.concatenate([frames for _, (frames, _) in results]),
        "timestamp": np.concatenate([times for _, (_, times) in results]),
    }
    write_npz(path, columns)


def path_column(results):
    return np.array([name_of(path) for path, _ in results], str)


def write_npz(path, columns):
    with path.open("wb") as file:
        np.savez(file, **columns)


def join(parts, output):
    """Write one table of all parts."""
    with keras_asit._files.replacing(output) as temporary:
        if output.suffix == ".npz":
            tables = [dict(np.load(part)) for part in parts]
            names = tables[0]
            columns = {name: np.concatenate([table[name] for table in tables]) for name in names}
            write_npz(temporary, columns)
        else:
            write_parquet(parts, temporary)


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


def parse_arguments():
    parser = recipe_parser(__doc__)
    add = parser.add_argument
    add("sources", metavar="RECORDINGS", nargs="+", help="folders, manifests, audio files")
    add(
        "--preset",
        default="asit_small_free_16k",
        help="name, folder or handle (default: %(default)s, which comes with the package)",
    )
    add("--output", type=Path, default=Path("embeddings.npz"), help="(default: %(default)s)")
    add("--frames", action="store_true", help="embed every 40 ms, not whole recordings")
    add("--pooling", choices=POOLINGS, default=DEFAULT_POOLING)
    add(
        "--blocks",
        type=int,
        nargs="+",
        help="blocks to pool, -1 the last (default: an early one and the last)",
    )
    add("--overlap", type=overlap, default=0.0, help="of windows (default: %(default)s)")
    for flag, default, help in (
        ("--batch-size", 32, "windows at once"),
        ("--part-size", 256, "recordings a part"),
    ):
        add(flag, type=positive_integer, default=default, help=f"{help} (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
