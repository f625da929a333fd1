"""Which library reads the shards: DALI, or a plain reader for machines without it. Loads neither by itself."""

import importlib.util
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from data.errors import UserError

READERS = ("dali", "torch")
AUTO = "auto"
"""DALI where it is installed."""

Load = Callable[[], tuple[np.ndarray, str]]
"""Returns an image (uint8 HWC RGB), and where it lies: tar:offset:member. May be called by any thread."""


class Reader(Protocol):
    """The images of a split, a fixed number at a time."""

    def take(self) -> list[Load]:
        """The next ones. What was taken before may no longer be loaded: buffers are used again."""

    def position(self) -> bytes:
        """Where the reader stands after what was taken last: whatever `open_reader` wants back."""


def resolve_reader(name: str) -> str:
    """Return the reader that `name` means on this machine; the library is looked for, not loaded."""
    if name != AUTO:
        return name
    try:
        return READERS[importlib.util.find_spec("nvidia.dali") is None]
    except ModuleNotFoundError:
        return "torch"


def open_reader(name: str, **options: Any) -> Reader:
    """Open a reader of READERS; `options` are those of DaliReader and TarReader.

    Raises:
        UserError: its library is not installed.
    """
    if name == "torch":
        from sr.training.tar_reader import TarReader

        return TarReader(**options)
    if resolve_reader(AUTO) != "dali":
        raise UserError(
            "NVIDIA DALI", "none", "this Python environment", "install it, or set loader to torch"
        )
    from sr.training.dali_reader import DaliReader

    return DaliReader(**options)
