"""The files of a folder of records: all written atomically, the index last."""

import hashlib
import json
import os
from pathlib import Path

from keras_asit._arguments import name_some
from keras_asit._files import PARTIAL, write_whole

INDEX = "index.json"
PARAMETERS = "parameters.json"
PLAN = "plan.jsonl"


def begin(folder, parameters, plan):
    """Claim a folder for `parameters`, or raise `ValueError` if it is of other ones.

    - `parameters.json` comes first: with what the folder was begun.
    - `plan.jsonl`: a line a shard, with the files that it is made of.
    - `clips-00000-of-00012.tfrecord`, ...: the shards. After each of them
    - `clips-00000-of-00012.json`: its summary, by which a later run knows that it is whole.
    - `index.json` comes last; readers need it and the shards alone.
    """
    lines = "".join(f"{line}\n" for line in plan).encode()
    parameters = {**parameters, "plan_sha256": hashlib.sha256(lines).hexdigest()}
    path = folder / PARAMETERS
    try:
        present = json.loads(path.read_bytes()) if path.exists() else parameters
    except ValueError as error:
        raise ValueError(f"{path} is damaged, delete it: {error}") from None
    different = [name for name in parameters if present.get(name) != parameters[name]]
    if different:
        raise ValueError(
            f"{folder} holds records that were made otherwise ({', '.join(different)} "
            f"differ, see {PARAMETERS} there); give another folder, or delete this one."
        )
    for name in ("clips-*-of-*.tfrecord", "clips-*-of-*.json", INDEX, PARAMETERS, PLAN):
        # What an attempt that was broken off leaves, and nothing of the user's.
        for leftover in folder.glob(f".{name}.{'[0-9a-f]' * 32}{PARTIAL}"):
            leftover.unlink()
    write_json(path, parameters)
    write_whole(folder / PLAN, lines)


def write_json(path, content):
    """Write a file of JSON, always the same for the same content."""
    write_whole(path, as_json(content))


def as_json(content):
    """Return JSON as bytes, always the same for the same content."""
    return (json.dumps(content, indent=1) + "\n").encode()


def absolute(folder):
    """Return the absolute path of a folder."""
    return Path(folder).expanduser().absolute()


def holds_records(source: str | os.PathLike) -> bool:
    """Return whether a source is a folder of records, whether or not their writing was finished.

    Args:
        source: what `keras_asit.data.pretraining_dataset` takes.

    Example:

    ```python
    if keras_asit.data.holds_records("recordings"):
        print(keras_asit.data.read_record_index("recordings")["records"])
    ```
    """
    if not isinstance(source, (str, os.PathLike)) or not os.fspath(source):
        return False
    # Records have a plan from the beginning; of a copy, the index and the shards are enough.
    return any(any(absolute(source).glob(pattern)) for pattern in (PLAN, "clips-*.tfrecord"))


def read_record_index(folder: str | os.PathLike) -> dict:
    """Return the index of a folder of records, once all its shards are found to be there.

    Args:
        folder: str or `os.PathLike`. A folder that `keras_asit.data.write_records` has written.

    Returns:
        A dict: `content`, `sample_rate`, `max_seconds`, `class_names`, `multi_label` (whether any
        file has not exactly one label), the numbers `files` and `records`; of log-mels `mean`,
        `standard_deviation` and `front_end`, all parameters of the filterbank; `shards`, dicts of
        `name`, `files`, `records`, `bytes` and `sha256`; `skipped`, dicts of `path` and `reason`.

    Raises:
        ValueError: If the folder has no index, which is written last, or a shard is missing or
            of another size.

    Example:

    ```python
    index = keras_asit.data.read_record_index("records")
    print(index["records"], "records of", index["content"])
    ```
    """
    folder = absolute(folder)
    path = folder / INDEX
    try:
        index = json.loads(path.read_bytes())
        sizes = {folder / shard["name"]: shard["bytes"] for shard in index["shards"]}
        index["content"], index["multi_label"]  # Of another version, an index lacks some.
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no {INDEX}: it holds no records, or their writing was not finished; "
            "call `write_records` again."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged; call `write_records` again. {error!r}") from None
    present = {shard: shard.stat().st_size for shard in sizes if shard.exists()}
    wrong = {
        "are missing": [shard for shard in sizes if shard not in present],
        "have another size": [shard for shard in present if present[shard] != sizes[shard]],
    }
    problems = [
        f"{len(shards)} of {len(sizes)} shards {what}: {name_some(shards)}"
        for what, shards in wrong.items()
        if shards
    ]
    if problems:
        raise ValueError(f"{'; '.join(problems)}. Call `write_records` again to repair them.")
    return index
