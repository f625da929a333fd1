"""Give a store that several hosts share an identity, to tell it from the empty folder of a host without its mount."""

import contextlib
import json
import os
import secrets
from pathlib import Path

from data.atomic_files import atomic_file

FILE = "store.json"
_SCHEMA = 1


def read_identity(root: Path) -> str | None:
    """Return the identity of the store at `root`; None if it has none, or is not there."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((root / FILE).read_bytes())["id"])
    return None


def ensure_identity(root: Path) -> str:
    """Return the identity of the store at `root`; give it one if it has none.

    Raises:
        OSError: it can't be written.
    """
    if read_identity(root) is None:
        content = json.dumps({"schema": _SCHEMA, "id": secrets.token_hex(8)}).encode() + b"\n"
        with contextlib.suppress(FileExistsError), atomic_file(root / FILE, place=_place_first) as file:
            file.write(content)
    identity = read_identity(root)
    if identity is None:
        raise OSError(f"{root / FILE} cannot be read back")
    return identity


def _place_first(part: Path, path: Path) -> None:
    """Move a file to `path`; of several hosts that do so at once, the first one wins."""
    try:
        os.link(part, path)
        part.unlink()
    except FileExistsError:
        raise
    except OSError:  # no hard links here
        if path.exists():
            raise FileExistsError(str(path)) from None
        os.replace(part, path)
