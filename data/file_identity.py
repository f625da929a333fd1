"""What identifies the content of a file without reading it: its size and its modification time.

The time counts in whole seconds. File systems keep it as finely as they can: the same file has nanoseconds on one mount
or one copy of it, and whole seconds on another.
"""

import os

_NS = 10**9


def size_and_second(status: os.stat_result) -> list[int]:
    """Return a file's size in bytes and its modification time in whole seconds since 1970."""
    return [status.st_size, status.st_mtime_ns // _NS]


def is_same_second(one_ns: int, other_ns: int) -> bool:
    """Return whether two modification times in nanoseconds are in the same second."""
    return one_ns // _NS == other_ns // _NS
