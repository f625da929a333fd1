"""Whether a file is the published one: by size and checksum, and remembered so that nobody waits for it twice.

What was found is kept in a list beside the downloads, by path, size and modification time: a file that was touched is
looked at again.
"""

import hashlib
import os
from pathlib import Path

from data.atomic_files import jsonl_line, read_jsonl
from data.catalog.catalog import RemoteFile
from data.progress import Progress, silent

_BLOCK_BYTES = 1 << 22


class Memory:
    """The files that were verified.

    Args:
        path: of the list; made when the first file is remembered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def digest(self, file: Path, algorithm: str) -> str | None:
        """Return the checksum that was found of a file that was not touched since.

        Returns:
            None where the file was not verified; empty where its checksum was not made.
        """
        if not self.path.exists() or not file.exists():
            return None
        same = _row(file)
        rows = [row for row in read_jsonl(self.path) if same.items() <= row.items()]
        return max((row.get(algorithm, "") for row in rows), default=None)

    def remember(self, file: Path, algorithm: str, digest: str) -> None:
        """Note that the file has this checksum; one write, so that two runs do not mix their lines."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, jsonl_line({**_row(file), algorithm: digest}))
        finally:
            os.close(handle)


def _row(file: Path) -> dict[str, str | int]:
    status = file.stat()
    return {"path": str(file.resolve()), "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def problem(file: RemoteFile, size: int, digest: str) -> tuple[str, str] | None:
    """Return what was published and what was found where they differ: the size, then the checksum.

    Args:
        file: what was published.
        size: bytes found.
        digest: found by the algorithm of `file.checksum`.
    """
    algorithm, wanted = file.checksum
    if file.bytes and size != file.bytes:
        return f"{file.bytes} bytes", f"{size} bytes"
    if wanted and digest != wanted:
        return f"{algorithm} {wanted}", f"{algorithm} {digest}"
    return None


def examine(
    file: RemoteFile, path: Path, memory: Memory, progress: Progress = silent
) -> tuple[str, str] | None:
    """Hold a file on disk against what was published, and remember it if it is that.

    Where no checksum is published only the size is compared: reading the file would prove nothing.

    Args:
        file: what was published.
        path: of the file.
        memory: of what was verified before.
        progress: called with bytes read.

    Returns:
        What was published and what was found, where they differ.
    """
    size = path.stat().st_size
    algorithm, wanted = file.checksum
    digest = memory.digest(path, algorithm)
    if digest is None or (digest != wanted and wanted):
        digest = ""
        if wanted and not problem(file, size, wanted):
            digest = _digest(path, algorithm, size, progress)
        if not problem(file, size, digest):
            memory.remember(path, algorithm, digest)
    return problem(file, size, digest)


def _digest(path: Path, algorithm: str, size: int, progress: Progress) -> str:
    state, done = hashlib.new(algorithm), 0
    with open(path, "rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            state.update(block)
            done += len(block)
            progress(done, size, f"verifying {path.name}")
    return state.hexdigest()
