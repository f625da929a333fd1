"""Tell whether two hosts run the same program, also where its version was not raised."""

import hashlib
from functools import cache
from pathlib import Path

ALL = ("data", "pipeline", "sr", "tasks")
_SUFFIXES = (".py", ".toml")


@cache
def hash_code(packages: tuple[str, ...] = ALL) -> str:
    """Return a hash of the files of some of this program's packages, 12 hex digits."""
    digest = hashlib.sha256()
    home = Path(__file__).parents[1]
    for package in packages:
        for path in sorted((home / package).rglob("*")):
            if path.suffix in _SUFFIXES:
                digest.update(f"{path.relative_to(home)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
