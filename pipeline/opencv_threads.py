"""Keep OpenCV from starting threads of its own."""

import contextlib
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Let OpenCV use one thread while the block runs: every core already has a process.

    With several threads, some of its functions also return what they find in another order each time.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
