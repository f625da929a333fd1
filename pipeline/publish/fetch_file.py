"""Fetch one file from a URL: block by block into a partial file, verified by its digest, then renamed."""

import os
from collections.abc import Callable
from pathlib import Path

from data.errors import UserError
from data.held_folders import make_folder
from data.mounts import sync, sync_directory
from pipeline.publish.file_list import PublishedFile, digest_of
from pipeline.publish.remote import RemoteFolder
from pipeline.publish.transfers import Counter


def fetch_file(
    remote: RemoteFolder,
    path: str,
    target: Path,
    file: PublishedFile,
    counter: Counter,
    check: Callable[[], None],
) -> None:
    """Fetch a file, and go on where a killed fetch stopped.

    Args:
        remote: where it is published.
        path: of the file below the URL.
        target: where it goes; nothing appears there before its digest is right.
        file: size and digest.
        counter: counts the bytes.
        check: raises if the fetch should end.

    Raises:
        UserError: the file is missing at the URL, or has other bytes than the list says.
    """
    make_folder(target.parent)
    part = target.with_name(f".{target.name}.fetch")
    is_resumed = part.is_file() and part.stat().st_size > 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        _append_blocks(remote, path, part, file, counter, check)
        if digest_of(part, file.digest) == file.digest:
            break
        part.unlink()
        counter.add(-file.bytes)
        if not is_resumed or not before:
            message = f"{remote.place(path)} has other bytes than its list says, or was damaged on the way"
            raise UserError(message, "Fetch it again; if that does not help, publish it again")
        is_resumed = False  # the part may be of another file of this name: once more, from the first byte
    os.replace(part, target)
    sync_directory(target.parent)


def _append_blocks(
    remote: RemoteFolder,
    path: str,
    part: Path,
    file: PublishedFile,
    counter: Counter,
    check: Callable[[], None],
) -> None:
    """Append what is missing to the partial file."""
    block_bytes = remote.settings.block_bytes
    with open(part, "ab") as out:
        at = out.tell()
        if at > file.bytes:
            out.truncate(0)
            at = 0
        counter.add(at)
        while at < file.bytes:
            check()
            end = min(at + block_bytes, file.bytes)
            block = _read_whole_block(remote, path, at, end)
            out.write(block)
            out.flush()
            at = end
            counter.add(len(block))
        sync(out.fileno())


def _read_whole_block(remote: RemoteFolder, path: str, start: int, end: int) -> bytes:
    """Return the bytes from `start` to before `end`.

    Raises:
        UserError: the file ends before, or is not there.
    """
    try:
        block = remote.read_block(path, start, end)
    except FileNotFoundError:
        message = f"{remote.place(path)} is missing, though its directory is published"
        raise UserError(message, "Publish the directory again") from None
    if len(block) != end - start:
        message = f"{remote.place(path)} ends after {start + len(block)} bytes, but its list says more"
        raise UserError(message, "Publish the directory again")
    return block
