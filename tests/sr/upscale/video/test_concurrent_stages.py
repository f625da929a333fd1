"""Threads side by side: nobody waits for what is not wanted any more."""

import itertools

import pytest

from sr.upscale.video.concurrent_stages import ahead


def test_frames_that_are_passed_over_end_with_the_caller():
    """A run that catches up decodes what it has already; Ctrl+C ends it at once."""
    passed = itertools.count()
    frames = ahead(None if next(passed) else "first" for _ in range(10**7))
    assert next(frames) == "first"
    frames.close()
    assert next(passed) < 10**7


def test_errors_arrive_where_the_frames_are_wanted():
    def broken():
        yield None
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        list(ahead(broken()))
