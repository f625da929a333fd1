"""Hashes, names made from hashes, and random generators seeded by hashes.

Nothing here depends on the clock, the process or Python's own hash seed.
"""

import hashlib
import json
from collections.abc import Iterable
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

SPEC_DIGITS = 12
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Encode `value` as JSON so that equal values give equal bytes.

    Keys are sorted, no spaces are written, and NaN is refused.

    Raises:
        ValueError: a float is not finite.
        TypeError: a value is not plain JSON data.
    """
    return encode_json(_ENCODER.encode(value))


def encode_json(text: str) -> bytes:
    r"""Encode JSON text as UTF-8. A byte of a file name that is not UTF-8 becomes an escape, \udc80 to \udcff.

    Python represents such bytes so (PEP 383), and gets them back when it reads the JSON text.
    """
    return text.encode(errors="backslashreplace")


def sha256_bytes(content: bytes | memoryview) -> str:
    """Return the sha256 of `content` as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits, without loading the whole file into memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def xxh3_file(path: Path) -> str:
    """Return the 128-bit XXH3 of a file as 32 hex digits: as fast as memory, but not secure against forgery."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


def pixels_digest(image: npt.NDArray[np.uint8]) -> str:
    """Return the 128-bit XXH3 of an image's size and pixels as 32 hex digits.

    Args:
        image: uint8, height x width x 3.
    """
    digest = xxhash.xxh3_128(canonical_json(image.shape))
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def spec_hash(spec: dict[str, Any]) -> str:
    """Return the 12 hex digits that name the target described by `spec`."""
    return sha256_bytes(canonical_json(spec))[:SPEC_DIGITS]


def number(*parts: Any) -> int:
    """Return a 64-bit number that depends only on `parts` (plain JSON values).

    It assigns items to shards and splits, independent of their order and of the number of workers.
    """
    return int.from_bytes(_digest(parts)[:8], "big")


def numbers(*parts: Any, texts: Iterable[str]) -> list[int]:
    """Return `number(*parts, text)` for each of many texts, several times as fast."""
    first = hashlib.sha256(canonical_json(list(parts))[:-1] + b",")
    found = []
    for text in texts:
        digest = first.copy()
        digest.update(encode_json(encode_basestring(text)) + b"]")
        found.append(int.from_bytes(digest.digest()[:8], "big"))
    return found


def generator(*parts: Any) -> np.random.Generator:
    """Return a random generator seeded by `parts` (plain JSON values). Equal parts give equal streams everywhere."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(parts), "big")))


def _digest(parts: tuple[Any, ...]) -> bytes:
    return hashlib.sha256(canonical_json(list(parts))).digest()
