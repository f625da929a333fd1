"""Hashes, the names made from them, and the random generators seeded by them.

Nothing here depends on the clock, the process or Python's own hash seed.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

SPEC_DIGITS = 12
_BLOCK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """Encode `value` as the one JSON text that equal values share.

    Keys are sorted, no spaces are written, and NaN is refused, so that two programs agree on the bytes.

    Raises:
        ValueError: a float is not finite.
        TypeError: a value is not plain JSON data.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def sha256_bytes(content: bytes | memoryview) -> str:
    """Return the sha256 of `content` as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hex digits, reading 1 MiB at a time."""
    return _file_digest(path, hashlib.sha256())


def xxh3_file(path: Path) -> str:
    """Return the XXH3 of a file's bytes as 32 hex digits: no proof against malice, but as fast as memory."""
    return _file_digest(path, xxhash.xxh3_128())


def _file_digest(path: Path, digest: Any) -> str:
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def spec_hash(spec: dict[str, Any]) -> str:
    """Return the 12 hex digits that name a target made to `spec`."""
    return sha256_bytes(canonical_json(spec))[:SPEC_DIGITS]


def number(*parts: Any) -> int:
    """Return a 64-bit number that is a fixed function of `parts` (plain JSON values).

    Used to spread items over shards and to split them, independent of order and of worker count.
    """
    return int.from_bytes(hashlib.sha256(canonical_json(list(parts))).digest()[:8], "big")


def generator(*parts: Any) -> np.random.Generator:
    """Return a generator seeded from `parts` (plain JSON values): equal parts, equal stream, on any machine."""
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(hashlib.sha256(canonical_json(list(parts))).digest()))
    )
