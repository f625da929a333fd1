"""A disk that is full, for the tests of this folder."""

import contextlib
import resource

import pytest


@pytest.fixture
def small_files():
    """Give a context in which files cannot grow beyond a number of bytes."""

    @contextlib.contextmanager
    def limited(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
