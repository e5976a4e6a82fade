"""Events as files."""

import csv
from pathlib import Path


def write_events(events, path):
    """Write events as a CSV table or as labels of Audacity.

    Args:
        events: list of `keras_asit.events.Event`.
        path: str or path. Ending in .csv: a table with the columns onset, offset, label and
            score. Ending in .txt: Audacity's labels, which its File > Import > Labels reads.

    Raises:
        ValueError: for another ending, or a label that a line of Audacity cannot hold.

    Example:

    ```python
    events = [keras_asit.events.Event(onset=1.2, offset=3.0, label="dog", score=0.9)]
    keras_asit.events.write_events(events, "events.csv")
    ```
    """
    path = Path(path)
    if path.suffix == ".csv":
        rows = [
            (f"{onset:.3f}", f"{offset:.3f}", label, f"{score:.4f}")
            for onset, offset, label, score in events
        ]
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("onset", "offset", "label", "score"), *rows])
    elif path.suffix == ".txt":
        for event in events:
            if set(event.label) & set("\t\r\n"):
                raise ValueError(
                    "Audacity's labels hold neither tabs nor line breaks. Received: "
                    f"{event.label!r}"
                )
        lines = [f"{event.onset:.3f}\t{event.offset:.3f}\t{event.label}\n" for event in events]
        path.write_text("".join(lines), encoding="utf-8")
    else:
        raise ValueError(
            f"Events are written to .csv (a table) or .txt (Audacity's labels). Received: {path}"
        )
