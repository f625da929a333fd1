"""Keep freed memory in the process: filling the same large arrays again and again costs no page faults."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt."""
_LARGEST_KEPT_BYTES = 4 << 20
"""A block up to this size is kept: the arrays of a crop. A whole image still goes back to the system at once."""
_KEPT_BYTES = 32 << 20
"""So much free memory stays in the process."""


def keep_freed_memory() -> bool:
    """Have malloc keep up to 32 MB that is freed, for this process and those that it forks from now on.

    By default glibc gives a block of 128 KiB or more back to the system when it is freed, and the next one is filled
    with zeros, page by page. This takes a third of the time of encoding a crop.

    Returns:
        Whether the C library does so; only glibc can be asked to.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = ((_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES), (_M_TRIM_THRESHOLD, _KEPT_BYTES))
    return all(mallopt(option, value) == 1 for option, value in options)
