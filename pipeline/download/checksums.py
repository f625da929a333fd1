"""Compare files with their published size and checksum, and remember verified files so that none is read twice.

The results are kept in a list beside the downloads, by path, size and modification time. A file that was touched since
is verified again.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from data.atomic_files import jsonl_line, read_jsonl
from data.catalog.spec import RemoteFile
from data.file_identity import is_same_second
from data.held_folders import make_folder
from data.progress import Progress, silent
from pipeline.download.first_bytes import HEAD_BYTES, find_fault, is_cut_off

_BLOCK_BYTES = 1 << 22


class VerifiedFiles:
    """The list of verified files on disk.

    Args:
        path: path of the list; created when the first file is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def find_checksum(self, file: Path, algorithm: str) -> str | None:
        """Return the checksum of a file that was verified and not touched since.

        Returns:
            None if the file was not verified; empty if it was verified without this checksum.
        """
        if not self.path.exists() or not file.exists():
            return None
        identity = _identify(file)
        rows = [row for row in read_jsonl(self.path) if _is_of(row, identity)]
        return max((row.get(algorithm, "") for row in rows), default=None)

    def add(self, file: Path, algorithm: str, checksum: str) -> None:
        """Add a file with its checksum, in a single write, so that two runs do not mix their lines."""
        make_folder(self.path.parent)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, jsonl_line({**_identify(file), algorithm: checksum}))
        finally:
            os.close(handle)


def _is_of(row: dict[str, Any], identity: dict[str, Any]) -> bool:
    """Return whether a row is about this file as it is: another mount may cut its time to whole seconds."""
    return (row["path"], row["bytes"]) == (identity["path"], identity["bytes"]) and is_same_second(
        row["mtime_ns"], identity["mtime_ns"]
    )


def _identify(file: Path) -> dict[str, Any]:
    status = file.stat()
    return {"path": str(file.resolve()), "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


class Mismatch(NamedTuple):
    """How a file differs from the published one."""

    expected: str
    """Published size or checksum, as text."""
    found: str
    """Size or checksum of the file, as text."""


def find_mismatch(file: RemoteFile, size_bytes: int, checksum: str) -> Mismatch | None:
    """Compare size and checksum of a file with the published ones, the size first.

    Args:
        file: the published file.
        size_bytes: size of the file.
        checksum: checksum of the file by the algorithm of `file.checksum`.

    Returns:
        The first difference; None if there is none.
    """
    algorithm, expected = file.checksum
    if file.bytes and size_bytes != file.bytes:
        return Mismatch(f"{file.bytes} bytes", f"{size_bytes} bytes")
    if expected and checksum != expected:
        return Mismatch(f"{algorithm} {expected}", f"{algorithm} {checksum}")
    return None


def find_wrong_kind(file: RemoteFile, path: Path) -> Mismatch | None:
    """Return how the first bytes of a file on disk differ from those of its kind, if no checksum is published.

    A zip must have its end too.
    """
    if file.checksum[1]:
        return None
    with open(path, "rb") as opened:
        fault = find_fault(file.name, opened.read(HEAD_BYTES))
        if not fault and is_cut_off(file.name, opened):
            fault = "a zip archive without its end"
    return Mismatch("the file of its name", fault) if fault else None


def verify_file(
    file: RemoteFile, path: Path, verified: VerifiedFiles, progress: Progress = silent
) -> Mismatch | None:
    """Compare a file on disk with the published one, and remember it if it is the same.

    If no checksum is published, only the size and the first bytes are looked at: reading on would prove nothing.

    Args:
        file: the published file.
        path: the file on disk.
        verified: files that were verified before.
        progress: called with the number of bytes read.

    Returns:
        The first difference; None if there is none.
    """
    size_bytes = path.stat().st_size
    algorithm, expected = file.checksum
    wrong_kind = find_wrong_kind(file, path)
    if wrong_kind:
        return wrong_kind
    checksum = verified.find_checksum(path, algorithm)
    if checksum is None or (checksum != expected and expected):
        checksum = ""
        if expected and not find_mismatch(file, size_bytes, expected):
            checksum = _hash_file(path, algorithm, size_bytes, progress)
        if not find_mismatch(file, size_bytes, checksum):
            verified.add(path, algorithm, checksum)
    return find_mismatch(file, size_bytes, checksum)


def _hash_file(path: Path, algorithm: str, size_bytes: int, progress: Progress) -> str:
    state, done = hashlib.new(algorithm), 0
    with open(path, "rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            state.update(block)
            done += len(block)
            progress(done, size_bytes, f"verifying {path.name}")
    return state.hexdigest()
