"""The files of a folder of records: all written atomically, the index last."""

import hashlib
import json
import os
import re
from pathlib import Path

from keras_asit._arguments import name_some
from keras_asit._files import PARTIAL, sha256_of, write_whole

INDEX = "index.json"
PARAMETERS = "parameters.json"
PLAN = "plan.jsonl"
# What an attempt that was broken off leaves, and nothing of the user's.
LEFTOVER = re.compile(
    r"\.(clips-\d+-of-\d+\.(tfrecord|json)|(parameters|index)\.json|plan\.jsonl)"
    rf"\.[0-9a-f]{{32}}{re.escape(PARTIAL)}"
)


class RecordFolder:
    """A folder of records while it is written.

    - `parameters.json` comes first: with what the folder was begun.
    - `plan.jsonl`: a line a shard, with the files that it is made of.
    - `clips-00000-of-00012.tfrecord`, ...: the shards. After each of them
    - `clips-00000-of-00012.json`: its summary, by which a later run knows that it is whole.
    - `index.json` comes last; readers need it and the shards alone.
    """

    def __init__(self, path):
        self.path = absolute(path)

    def begin(self, parameters, plan):
        """Claim the folder for `parameters`, or raise `ValueError` if it is of other ones."""
        lines = "".join(f"{line}\n" for line in plan).encode()
        parameters = {**parameters, "plan_sha256": hashlib.sha256(lines).hexdigest()}
        present = self._read_json(PARAMETERS)
        if present is not None and present != parameters:
            different = [name for name in parameters if present.get(name) != parameters[name]]
            raise ValueError(
                f"{self.path} holds records that were made otherwise ({', '.join(different)} "
                f"differ, see {PARAMETERS} there); give another folder, or delete this one."
            )
        for path in self.path.iterdir():
            if LEFTOVER.fullmatch(path.name):
                path.unlink()
        self.write_json(PARAMETERS, parameters)
        write_whole(self.path / PLAN, lines)

    def finished(self, name, made_of):
        """Return the summary of a shard if it is there, whole and made of this, else `None`."""
        try:
            summary = self._read_json(f"{name}.json")
            same = summary is not None and summary["made_of"] == made_of
            return summary if same and sha256_of(self.shard(name)) == summary["sha256"] else None
        except (ValueError, LookupError, TypeError, FileNotFoundError):
            # It is made again.
            return None

    def shard(self, name):
        """Return the path of a shard."""
        return self.path / f"{name}.tfrecord"

    def write_json(self, name, content):
        """Write a file of JSON, always the same for the same content."""
        write_whole(self.path / name, as_json(content))

    def _read_json(self, name):
        path = self.path / name
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} is damaged, delete it: {error}") from None


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

    Returns:
        A bool.

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
        A dict with `content`, `sample_rate`, `max_seconds`, `front_end` (all parameters of the
        filterbank, for log-mels), `class_names`, `multi_label` (whether any file has not exactly
        one label), `files`, `records` (their number), `mean` and `standard_deviation` (for
        log-mels), `shards`, a list of dicts with `name`, `files`, `records`, `bytes` and
        `sha256`, and `skipped`, a list of dicts with `path` and `reason`.

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
