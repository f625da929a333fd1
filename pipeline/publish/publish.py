"""Publish a finished directory of the store to a URL, so that a part of it is never taken for the whole.

The URL has the layout of a store: <url>/<stage>/<name>-<12 hex>/. Files are sent several at once, then published.json
lists them with their digests, and the record comes last. Files that are there already are not sent again.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import xxhash

from data.errors import UserError
from data.hashing import canonical_json, sha256_bytes
from data.progress import Progress, silent
from data.record_json import to_plain
from pipeline.publish.cards import CARD, render_card, write_collection_card
from pipeline.publish.file_list import (
    LIST,
    Place,
    PublishedFile,
    PublishedList,
    digest_of,
    list_files,
    needed_shards,
    parse_list,
    read_selection,
    require_finished,
)
from pipeline.publish.journal import Journal
from pipeline.publish.remote import RemoteFile, RemoteFolder
from pipeline.publish.settings import RemoteSettings
from pipeline.publish.transfers import Counter, Transfers


@dataclasses.dataclass(frozen=True)
class Publication:
    """What became of one directory."""

    directory: str
    """<stage>/<name>-<12 hex>, below the URL."""
    files: int
    bytes: int
    sent_files: int
    """How many of the files were sent by this run; the others were there."""
    sent_bytes: int
    strays: tuple[str, ...]
    """Files below the directory at the URL that do not belong to it."""
    note: str = ""
    """What was left alone at the URL, in words; empty for nothing."""


@dataclasses.dataclass(frozen=True)
class _Job:
    """A directory to publish, compared with what is at the URL."""

    local: Path
    place: Place
    published: PublishedList
    card: bytes
    """The card that is made for directories that have none; empty for others."""
    missing: tuple[PublishedFile, ...]
    strays: tuple[str, ...]
    is_listed: bool
    """Whether the list at the URL is already this one, and the record is there."""

    def path(self, name: str) -> str:
        """Return the path of a file below the URL."""
        return f"{self.place.directory}/{name}"


def publish(
    directory: Path,
    url: str,
    settings: RemoteSettings,
    *,
    read_back: bool = False,
    progress: Progress = silent,
) -> list[Publication]:
    """Publish a finished directory, and before it the datasets that it reads, if it is a selection.

    Args:
        directory: of a store: crops/…, selections/…, models/… or exports/….
        url: where the published directories are: s3://bucket/folder.
        settings: how to reach it.
        read_back: read every byte back in the end, and compare it with its digest.
        progress: called with the bytes.

    Returns:
        What became of each directory; the one that was asked for is last.

    Raises:
        UserError: the directory is not finished or damaged, or the URL can't be written.
    """
    remote = RemoteFolder(url, settings)
    jobs = [_compare(remote, one) for one in [*_needed_directories(directory), directory]]
    total = sum(file.bytes for job in jobs for file in job.published.files)
    missing = sum(file.bytes for job in jobs for file in job.missing)
    counter = Counter(progress, total, total - missing)
    remote.show_waits(counter.note)
    notes = []
    for job in jobs:
        _send(remote, job, counter)
        note = write_collection_card(remote) if job.place.stage == "crops" else ""
        notes.append(note)
        if read_back:
            _read_back(remote, job, counter)
    return [_summarize(job, note) for job, note in zip(jobs, notes, strict=True)]


def _needed_directories(directory: Path) -> list[Path]:
    """Return the directories of the datasets that a selection reads; none for another directory."""
    place = require_finished(directory)
    if place.stage != "selections":
        return []
    record = directory / place.record
    names = {shard.dataset.directory for shard in needed_shards(read_selection(record), str(record))}
    return [directory.parent.parent / name for name in sorted(names)]


def _compare(remote: RemoteFolder, local: Path) -> _Job:
    """List the files of a directory, and compare them with what is at the URL."""
    place = require_finished(local)
    files = list_files(local, place)
    card = b""
    if CARD not in {file.path for file in files}:
        card = render_card(local, place).encode()
        files.append(PublishedFile(CARD, len(card), f"sha256:{sha256_bytes(card)}"))
    files.sort(key=lambda file: file.path)
    published = PublishedList(PublishedList.VERSION, place.directory, tuple(files))
    there = remote.list_files(place.directory)
    before = _read_list(remote, place) if LIST in there else None
    confirmed = set(before.files) if before else set()
    journal = _journal(remote, local)

    def is_there(file: PublishedFile) -> bool:
        found = there.get(file.path)
        if found is None or found.bytes != file.bytes:
            return False
        return file in confirmed or journal.has(file.path, file.bytes, file.digest, found.tag)

    missing = tuple(file for file in files if file.path != place.record and not is_there(file))
    strays = sorted(set(there) - {file.path for file in files} - {LIST})
    is_listed = before == published and place.record in there
    return _Job(local, place, published, card, missing, tuple(strays), is_listed)


def _read_list(remote: RemoteFolder, place: Place) -> PublishedList | None:
    """Return the list that is at the URL; None if there is none that can be used: then all files are compared anew."""
    path = f"{place.directory}/{LIST}"
    try:
        return parse_list(remote.read(path) or b"", place, remote.place(path))
    except UserError:
        return None


def _journal(remote: RemoteFolder, local: Path) -> Journal:
    """Return the journal of what was sent from a directory to a URL."""
    name = hashlib.sha256(remote.url.encode()).hexdigest()[:16]
    return Journal(local / "run" / "published" / f"{name}.jsonl")


def _send(remote: RemoteFolder, job: _Job, counter: Counter) -> None:
    """Send what is missing, then the list, and the record last."""
    record = next(file for file in job.published.files if file.path == job.place.record)
    if job.is_listed and not job.missing:
        return
    if job.missing or not job.is_listed:
        remote.remove(job.path(record.path))  # a directory whose files are being replaced is not whole
    journal = _journal(remote, job.local)
    transfers = Transfers[PublishedFile](remote.settings.connections)

    def send(file: PublishedFile) -> None:
        transfers.check()
        found = _send_file(remote, job, file)
        journal.add(file.path, file.bytes, file.digest, found.tag)
        counter.add(file.bytes)

    transfers.run(job.missing, send)
    remote.write(job.path(LIST), canonical_json(to_plain(job.published)) + b"\n")
    _send_file(remote, job, record)


def _send_file(remote: RemoteFolder, job: _Job, file: PublishedFile) -> RemoteFile:
    """Send one file after comparing it with its digest.

    Raises:
        UserError: the local file is damaged, or it can't be sent.
    """
    path = job.path(file.path)
    if job.card and file.path == CARD:
        remote.write(path, job.card)
        return remote.find_file(path) or RemoteFile(-1, "")
    local = job.local / file.path
    if digest_of(local, file.digest) != file.digest:
        message = f"{local} is damaged: its digest is not the one that its dataset has"
        raise UserError(message, "Run VerifyDataset with --rebuild on its dataset, then publish again")
    return remote.send(local, path)


def _read_back(remote: RemoteFolder, job: _Job, counter: Counter) -> None:
    """Read every file back and compare it with its digest.

    Raises:
        UserError: one differs.
    """
    transfers = Transfers[PublishedFile](remote.settings.connections)
    damaged: list[PublishedFile] = []

    def check(file: PublishedFile) -> None:
        digest = xxhash.xxh3_128() if file.digest.startswith("xxh3:") else hashlib.sha256()
        for start in range(0, file.bytes, remote.settings.block_bytes):
            transfers.check()
            end = min(file.bytes, start + remote.settings.block_bytes)
            digest.update(remote.read_block(job.path(file.path), start, end))
        if digest.hexdigest() != file.digest.partition(":")[2]:
            damaged.append(file)
            message = (
                f"{remote.place(job.path(file.path))} has other bytes than were sent, and was removed there"
            )
            raise UserError(message, "Run the same command again to send it anew")
        counter.note(f"reading back {file.path}")

    try:
        transfers.run(job.published.files, check)
    finally:
        # Only now, as nothing is read any more: a file that vanishes while it is read would be another error.
        if damaged:
            for path in dict.fromkeys([job.place.record, *(file.path for file in damaged)]):
                remote.remove(job.path(path))


def _summarize(job: _Job, note: str) -> Publication:
    files: Sequence[PublishedFile] = job.published.files
    sent = (
        [*job.missing] if job.is_listed else [*job.missing, *(f for f in files if f.path == job.place.record)]
    )
    return Publication(
        job.place.directory,
        len(files),
        sum(file.bytes for file in files),
        len(sent),
        sum(file.bytes for file in sent),
        job.strays,
        note,
    )
