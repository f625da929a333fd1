"""Fetch a published directory into a store: verified file by file, resumed where it stopped, the record last.

A selection brings the shards that it reads, into the cache. What is not whole at the URL is refused.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.atomic_files import write_bytes
from data.disk_space import require_free_space
from data.errors import UserError
from data.hashing import sha256_bytes
from data.mounts import lock_if_possible
from data.progress import Progress, silent
from pipeline.publish import shard_cache
from pipeline.publish.fetch_file import fetch_file
from pipeline.publish.file_list import (
    LIST,
    Place,
    PublishedFile,
    PublishedList,
    check_spec,
    digest_of,
    find_place,
    needed_shards,
    parse_list,
    read_selection,
)
from pipeline.publish.journal import Journal
from pipeline.publish.remote import RemoteFolder, check_url
from pipeline.publish.settings import RemoteSettings
from pipeline.publish.transfers import Counter, Transfers


@dataclasses.dataclass(frozen=True)
class Fetched:
    """What a fetch brought."""

    files: int
    bytes: int
    """Of all files, shards of a selection included."""
    fetched_bytes: int
    """How many of them this run fetched; the others were there."""
    evicted: int
    """Shards of other selections that were removed from the cache to make room."""


def split_url(url: str) -> tuple[str, Place]:
    """Split the URL of a published directory into the store's URL and the directory's place.

    Raises:
        UserError: it is not such a URL.

    Example:
        >>> split_url("s3://bucket/sr/crops/DIV2K-0123456789ab")[0]
        's3://bucket/sr'
    """
    check_url(url)
    place = find_place(url)
    if place is None:
        message = "The URL to fetch does not end with a published directory"
        raise UserError(
            message, "Give the URL that PublishDataset printed: …/crops/NAME-HEX or …/selections/NAME-HEX"
        )
    return url.rstrip("/").removesuffix(place.directory).rstrip("/"), place


def is_fetched(directory: Path, place: Place) -> bool:
    """Return whether a directory is whole, the shards that a selection reads included."""
    record = directory / place.record
    if not record.is_file():
        return False
    if place.stage != "selections":
        return True
    root = directory.parent.parent
    return all(
        shard_cache.is_present(root, shard) for shard in needed_shards(read_selection(record), str(record))
    )


def fetch(url: str, root: Path, settings: RemoteSettings, progress: Progress = silent) -> Fetched:
    """Fetch a published directory.

    Args:
        url: of the directory, as PublishDataset printed it.
        root: of the local store.
        settings: how to reach the URL.
        progress: called with the bytes.

    Raises:
        UserError: nothing whole is there, a file is damaged there, or the disk is full.
    """
    base, place = split_url(url)
    remote = RemoteFolder(base, settings)
    published = _read_published(remote, place)
    directory = root / place.directory
    record = next(file for file in published.files if file.path == place.record)
    others = [file for file in published.files if file is not record]
    journal = Journal(directory / "run" / "fetched.jsonl")
    with _one_at_a_time(root, progress):
        missing = [file for file in others if not _is_here(directory, file, journal)]
        missing_bytes = sum(file.bytes for file in missing)
        total = sum(file.bytes for file in published.files)
        require_free_space(root, missing_bytes, f"The fetch of {place.directory}")
        counter = Counter(progress, total, total - missing_bytes - record.bytes)
        remote.show_waits(counter.note)
        _get_files(remote, place, directory, missing, journal, counter)
        check_spec(directory / "spec.json", place)
        content = _read_record(remote, place, record)
        cached = shard_cache.Cached(0, 0, 0, 0)
        if place.stage == "selections":
            cached = shard_cache.fetch_shards(remote, root, content, settings, progress)
        write_bytes(directory / record.path, content)
    return Fetched(
        len(published.files) + cached.shards,
        total + cached.bytes,
        missing_bytes + record.bytes + cached.fetched_bytes,
        cached.evicted,
    )


def _get_files(
    remote: RemoteFolder,
    place: Place,
    directory: Path,
    files: Sequence[PublishedFile],
    journal: Journal,
    counter: Counter,
) -> None:
    """Fetch files, several at once, and remember those that are verified."""
    transfers = Transfers[PublishedFile](remote.settings.connections)

    def get(file: PublishedFile) -> None:
        target = directory / file.path
        fetch_file(remote, f"{place.directory}/{file.path}", target, file, counter, transfers.check)
        journal.add(file.path, *_state(target))

    transfers.run(files, get)


def _read_published(remote: RemoteFolder, place: Place) -> PublishedList:
    """Return the list of a directory that is whole at the URL.

    Raises:
        UserError: it is half published, or not there at all.
    """
    path = f"{place.directory}/{LIST}"
    content = remote.read(path)
    has_record = remote.exists(f"{place.directory}/{place.record}")
    if content is not None and has_record:
        return parse_list(content, place, remote.place(path))
    where = remote.place(place.directory)
    if content is None and not has_record and not remote.list_files(place.directory):
        names = remote.list_folders(place.stage)
        there = f"There are: {', '.join(names)}" if names else "Check the URL"
        raise UserError(f"Nothing is published at {where}", there)
    lacks = [
        name for name, is_there in ((LIST, content is not None), (place.record, has_record)) if not is_there
    ]
    message = f"{where} is half published: it lacks {' and '.join(lacks)}"
    raise UserError(message, "Run PublishDataset again where it comes from, then fetch it")


def _read_record(remote: RemoteFolder, place: Place, record: PublishedFile) -> bytes:
    """Return the record, verified.

    Raises:
        UserError: it was removed or replaced meanwhile.
    """
    path = f"{place.directory}/{record.path}"
    content = remote.read(path)
    if content is None or f"sha256:{sha256_bytes(content)}" != record.digest:
        message = (
            f"{remote.place(path)} is not the one that {LIST} lists: the directory is being published anew"
        )
        raise UserError(message, "Fetch it again when PublishDataset has ended")
    return content


def _is_here(directory: Path, file: PublishedFile, journal: Journal) -> bool:
    """Return whether a file is in the local directory, with its digest; read only if it changed since the last time."""
    path = directory / file.path
    if not path.is_file() or path.stat().st_size != file.bytes:
        return False
    if path.is_symlink() and not _own(path):
        return False
    if journal.has(file.path, *_state(path)):
        return True
    if digest_of(path, file.digest) != file.digest:
        return False
    journal.add(file.path, *_state(path))
    return True


def _own(path: Path) -> bool:
    """Give a directory a file of its own in place of a link into the cache; return False where that must be a copy."""
    part = path.with_name(f".{path.name}.link")
    try:
        part.unlink(missing_ok=True)
        os.link(path.resolve(), part)
        os.replace(part, path)
    except OSError:
        return False
    return True


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _one_at_a_time(root: Path, progress: Progress) -> Iterator[None]:
    """Let one fetch at a time write into a store; others wait, as they may share shards and the cache."""
    root.mkdir(parents=True, exist_ok=True)
    handle = os.open(root / ".fetch.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        progress(0, 0, "waiting for another fetch into this store")
        lock_if_possible(handle)
        yield
    finally:
        os.close(handle)
