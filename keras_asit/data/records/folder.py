"""The files of a folder of records: all written atomically, the index last."""

import contextlib
import hashlib
import json
import os
import re
import uuid
from pathlib import Path

INDEX = "index.json"
PARAMETERS = "parameters.json"
PLAN = "plan.jsonl"
PARTIAL = ".partial"
# What an attempt that was broken off leaves, and nothing of the user's.
LEFTOVER = re.compile(
    r"(clips-\d+-of-\d+\.(tfrecord|json)|(parameters|index)\.json|plan\.jsonl)"
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
        self.path = Path(path).expanduser().absolute()

    def begin(self, parameters, plan):
        """Claim the folder for `parameters`, or raise `ValueError` if it is of other ones."""
        self.path.mkdir(parents=True, exist_ok=True)
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
        self.write(PARAMETERS, as_json(parameters))
        self.write(PLAN, lines)

    def finished(self, name, made_of):
        """Return the summary of a shard if it is there, whole and made of this, else `None`."""
        try:
            summary = self._read_json(f"{name}.json")
            same = summary is not None and summary["made_of"] == made_of
            return summary if same and file_sha256(self.shard(name)) == summary["sha256"] else None
        except (ValueError, LookupError, TypeError, FileNotFoundError):
            # It is made again.
            return None

    def shard(self, name):
        """Return the path of a shard."""
        return self.path / f"{name}.tfrecord"

    def write(self, name, content):
        """Write bytes to a file that either is whole or is not there."""
        with self.replacing(name) as partial:
            partial.write_bytes(content)

    @contextlib.contextmanager
    def replacing(self, name):
        """Give a path to write to; put the file in its place once the disk has all of it."""
        # Each attempt has a name of its own, since Beam may make a shard twice at once.
        partial = self.path / f"{name}.{uuid.uuid4().hex}{PARTIAL}"
        try:
            yield partial
            _flush(partial)
            os.replace(partial, self.path / name)
            _flush(self.path)
        finally:
            partial.unlink(missing_ok=True)

    def _read_json(self, name):
        path = self.path / name
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} is damaged, delete it: {error}") from None


def as_plan_line(name, clips):
    """Return a shard's line of the plan: its name and its clips, a list of (path, labels)."""
    return json.dumps({"name": name, "clips": clips})


def from_plan_line(line):
    """Return the name and the clips of a shard."""
    shard = json.loads(line)
    return shard["name"], shard["clips"]


def as_json(content):
    """Return JSON as bytes, always the same for the same content."""
    return (json.dumps(content, indent=1) + "\n").encode()


def file_sha256(path):
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path):
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
