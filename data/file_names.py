"""Names of files: how they are shown, and which ones a file system takes."""

import os
from pathlib import Path

LONGEST_NAME_BYTES, _LONGEST_PATH_BYTES = 255, 4095
"""Of Linux and most of its file systems: NAME_MAX, and PATH_MAX without the zero at the end."""
_PARTIAL_NAME_BYTES = 64
"""Largest length of the names that `data.atomic_files` writes under."""


def escape_name(name: str) -> str:
    r"""Replace each character that is not printable or not UTF-8 by \xNN or \uNNNN."""
    if name.isprintable():
        return name
    return "".join(one if one.isprintable() else _escape(one) for one in name)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape represents it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def is_file(path: Path) -> bool:
    """Return whether a file is at `path`; unlike `Path.is_file`, also for a name too long or a closed folder."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Return whether a folder is at `path`; unlike `Path.is_dir`, also for a name too long or a closed folder."""
    return os.path.isdir(path)  # noqa: PTH112


def find_name_fault(path: Path) -> str:
    """Return why no file can be written at an absolute path, if its names are too long; empty if they are not."""
    lengths = [len(os.fsencode(name)) for name in path.parts[1:]]
    longest = _longest_name_bytes(path)
    if max(lengths, default=0) > longest:
        return f"a name of {max(lengths)} bytes, and the file system takes {longest} at most"
    length = len(os.fsencode(path.parent)) + 1 + max(len(os.fsencode(path.name)), _PARTIAL_NAME_BYTES)
    if length > _LONGEST_PATH_BYTES:
        return f"a path of {length} bytes, and the system takes {_LONGEST_PATH_BYTES} at most"
    return ""


def _longest_name_bytes(path: Path) -> int:
    """Ask the file system of the deepest folder above `path` that exists; encrypted ones take 143 bytes, say."""
    for folder in path.parents:
        try:
            return os.pathconf(folder, "PC_NAME_MAX")
        except (OSError, ValueError):
            continue
    return LONGEST_NAME_BYTES
