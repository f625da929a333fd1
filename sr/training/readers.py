"""Chooses the library that reads the shards: DALI, or a plain reader for machines without it.

Importing this module loads neither.
"""

import importlib.util
from typing import Any

from data.errors import UserError
from sr.training.shard_reader import ShardReader

READERS = ("dali", "torch")
AUTO = "auto"
"""DALI if it is installed, otherwise torch."""


def resolve_reader(name: str) -> str:
    """Return the reader that `name` stands for on this machine, without loading its library."""
    if name != AUTO:
        return name
    try:
        return READERS[importlib.util.find_spec("nvidia.dali") is None]
    except ModuleNotFoundError:
        return "torch"


def open_reader(name: str, **options: Any) -> ShardReader:
    """Open one of READERS; `options` are the arguments of DaliReader and TarReader.

    Raises:
        UserError: the library is not installed.
    """
    if name == "torch":
        from sr.training.tar_reader import TarReader

        return TarReader(**options)
    if resolve_reader(AUTO) != "dali":
        message = "The loader dali needs NVIDIA DALI, which is not installed in this Python environment"
        raise UserError(message, "Install it, or set loader to torch")
    from sr.training.dali_reader import DaliReader

    return DaliReader(**options)
