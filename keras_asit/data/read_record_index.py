"""What a folder of records holds."""

import json
from pathlib import Path

from keras_asit.data.record_folder import INDEX

MAX_NAMED = 5


def read_record_index(folder):
    """Return the index of a folder of records, once all its shards are found to be there.

    Args:
        folder: str or `os.PathLike`. A folder that `keras_asit.data.write_records` has written.

    Returns:
        A dict with `kind`, `sample_rate`, `max_seconds`, `front_end` (all parameters of the
        filterbank, for log-mels), `class_names`, `files`, `records` (their number), `mean` and
        `standard_deviation` (for log-mels), `shards`, a list of dicts with `name`, `files`,
        `records`, `bytes` and `sha256`, and `skipped`, a list of dicts with `path` and `reason`.

    Raises:
        ValueError: If the folder has no index, which is written last, or a shard is missing or
            of another size.

    Example:

    ```python
    index = keras_asit.data.read_record_index("records")
    print(index["records"], "records of kind", index["kind"])
    ```
    """
    folder = Path(folder).expanduser().absolute()
    path = folder / INDEX
    try:
        index = json.loads(path.read_bytes())
        shards = {folder / shard["name"]: shard["bytes"] for shard in index["shards"]}
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no {INDEX}: it holds no records, or their writing was not finished; "
            "call `write_records` again."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged; call `write_records` again. {error!r}") from None
    missing = [str(shard) for shard in shards if not shard.exists()]
    other = [
        str(shard)
        for shard, size in shards.items()
        if shard.exists() and shard.stat().st_size != size
    ]
    problems = [
        f"{len(names)} of {len(shards)} shards {what}: {', '.join(names[:MAX_NAMED])}"
        + (", ..." if len(names) > MAX_NAMED else "")
        for what, names in (("are missing", missing), ("have another size", other))
        if names
    ]
    if problems:
        raise ValueError(f"{'; '.join(problems)}. Call `write_records` again to repair them.")
    return index
