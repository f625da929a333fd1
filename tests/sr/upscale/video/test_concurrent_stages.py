"""Decoding ahead in a thread: it stops with the caller, and its errors arrive there."""

import itertools

import pytest

from sr.upscale.video.concurrent_stages import prefetch


def test_decoding_stops_with_the_caller_while_frames_are_skipped():
    """A resumed run skips the frames that it has already; Ctrl+C stops it at once."""
    passed = itertools.count()
    frames = prefetch(None if next(passed) else "first" for _ in range(10**7))
    assert next(frames) == "first"
    frames.close()
    assert next(passed) < 10**7


def test_errors_are_raised_in_the_callers_thread():
    def broken():
        yield None
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        list(prefetch(broken()))
