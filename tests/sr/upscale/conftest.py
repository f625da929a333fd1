"""Fixtures for the tests of this folder."""

import contextlib
import resource

import pytest


@pytest.fixture
def file_size_limit():
    """Return a context manager in which files cannot grow beyond a number of bytes, like on a full disk."""

    @contextlib.contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
