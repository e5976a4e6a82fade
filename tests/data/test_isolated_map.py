"""`isolated_map`: processes that may crash or hang do not stop the others."""

import os
import time

from keras_asit.data.checking import isolated_map


def behave(item):
    """Do as the item says."""
    if item == "crash":
        os.abort()
    if item == "hang":
        time.sleep(1000)
    if item == "raise":
        raise MemoryError("too much")
    return item.upper()


def test_results_come_in_order_whatever_happens():
    items = ["a", "crash", "b", "raise", "hang", "c"]
    assert list(isolated_map(behave, iter(items), num_workers=2, timeout=1.0)) == [
        ("A", None),
        (None, "crashed"),
        ("B", None),
        (None, "MemoryError: too much"),
        (None, "timed out"),
        ("C", None),
    ]


def test_no_items_are_no_results():
    assert list(isolated_map(behave, [], num_workers=1, timeout=1.0)) == []
