"""Compiled models on disk, so that a program's second start is quick: bytes by key, and nothing of what is in them.

OpenVINO's own cache writes in place and is keyed by OpenVINO's choice of facts; here a file appears whole, by rename,
is held to a checksum when it is read, and is found by a key that the caller makes of everything that matters. So
processes may share the directory, and what is damaged counts as absent. A cache that cannot be written is no cache.
"""

import contextlib
import os
from pathlib import Path

from data.atomic_files import write_bytes
from data.errors import UserError
from data.hashing import sha256_bytes

VARIABLE = "SR_COMPILED_MODELS"
"""The environment variable that names the directory, or is OFF."""
OFF = "off"
LARGEST_BYTES = 2_000_000_000
"""Of all files together; those that were not used for longest go first."""
_SUFFIX = ".blob"
_DIGEST_BYTES = 64


def cache_directory() -> Path | None:
    """Where compiled models are kept: SR_COMPILED_MODELS, else a folder of the user's cache; None: nowhere.

    Raises:
        UserError: SR_COMPILED_MODELS is a relative path; it would be another place for every program.
    """
    named = os.environ.get(VARIABLE, "")
    if named == OFF:
        return None
    if named:
        path = Path(named).expanduser()
        if not path.is_absolute():
            raise UserError(f"an absolute path, or {OFF}", repr(named), VARIABLE, "give the whole path")
        return path
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if Path(base).is_absolute() else Path("~/.cache").expanduser()
    return home / "super-resolution-factory" / "compiled"


def load(directory: Path, key: str) -> bytes | None:
    """Return what was saved under a key, if it is there and whole."""
    path = directory / f"{key}{_SUFFIX}"
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, blob = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if sha256_bytes(blob).encode() != digest:
        return None
    with contextlib.suppress(OSError):  # a directory that others may only read is still of use
        os.utime(path)
    return blob


def save(directory: Path, key: str, blob: bytes) -> None:
    """Keep `blob` under a key; where the directory cannot be written, do nothing."""
    with contextlib.suppress(OSError):
        # What is kept here is run by the device's driver: nobody else may write it.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(directory / f"{key}{_SUFFIX}", sha256_bytes(blob).encode() + blob)
        _make_room(directory)


def _make_room(directory: Path) -> None:
    """Remove what was not used for longest until the rest is small enough. Another process may do the same."""
    found = [(path, path.stat()) for path in directory.glob(f"*{_SUFFIX}")]
    total = sum(status.st_size for _, status in found)
    for path, status in sorted(found, key=lambda one: one[1].st_mtime_ns):
        if total <= LARGEST_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= status.st_size
