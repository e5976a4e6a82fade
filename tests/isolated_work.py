"""What tests have done in processes of their own, which find it by the name of this module.

Not by that of a test: packages of others, which these processes find first, are called `tests` too.
"""

import os
import time


def behave(item):
    """Do as the item says."""
    if item == "crash":
        os.abort()
    if item == "hang":
        time.sleep(1000)
    if item == "raise":
        raise MemoryError("too much")
    return item.upper()


def print_as_c_does(text):
    os.write(2, text.encode())
    return text
