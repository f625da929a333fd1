"""A cache of compiled models on disk, so that a program's second start is fast.

OpenVINO's own cache writes files in place, and chooses the key itself. Here a file appears whole, by a rename, its
checksum is verified on reading, and the caller chooses a key that covers everything that matters. Processes can
therefore share the directory; a damaged file counts as missing. If the directory cannot be written, nothing is cached.
"""

import contextlib
import os
from pathlib import Path

from data.atomic_files import write_bytes
from data.errors import UserError
from data.hashing import sha256_bytes
from data.user_paths import expand_home

VARIABLE = "SR_COMPILED_MODELS"
"""The environment variable that sets the directory, or turns the cache off."""
OFF = "off"
LARGEST_BYTES = 2_000_000_000
"""Maximum size of all files together; the least recently used are deleted first."""
_SUFFIX = ".blob"
_DIGEST_BYTES = 64


def find_cache_directory() -> Path | None:
    """Return the directory of compiled models: SR_COMPILED_MODELS, or a folder of the user's cache; None if off.

    None, too, where the user has no home folder.

    Raises:
        UserError: SR_COMPILED_MODELS is a relative path, which would be another directory for every program.
    """
    setting = os.environ.get(VARIABLE, "")
    if setting == OFF:
        return None
    if setting:
        path = expand_home(setting)
        if not path.is_absolute():
            raise UserError(
                f"{VARIABLE} must be an absolute path or {OFF}, got {setting!r}", "Set the full path"
            )
        return path
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(base) if Path(base).is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError:  # a user without a home folder, as in a container
        return None
    return home / "super-resolution-factory" / "compiled"


def load(directory: Path, key: str) -> bytes | None:
    """Return what was saved under a key; None if it is missing or damaged."""
    path = directory / f"{key}{_SUFFIX}"
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, blob = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if sha256_bytes(blob).encode() != digest:
        return None
    with contextlib.suppress(OSError):  # a read-only directory is still useful
        os.utime(path)
    return blob


def save(directory: Path, key: str, blob: bytes) -> None:
    """Save `blob` under a key; do nothing if the directory cannot be written."""
    with contextlib.suppress(OSError):
        # The device's driver runs what is stored here: no other user may write it.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(directory / f"{key}{_SUFFIX}", sha256_bytes(blob).encode() + blob)
        _delete_old_files(directory)


def _delete_old_files(directory: Path) -> None:
    """Delete the least recently used files until the rest is small enough. Another process may do the same."""
    files = [(path, path.stat()) for path in directory.glob(f"*{_SUFFIX}")]
    total = sum(status.st_size for _, status in files)
    for path, status in sorted(files, key=lambda one: one[1].st_mtime_ns):
        if total <= LARGEST_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= status.st_size
