"""Download the files of a dataset: adopt those on disk, fetch the others, and verify all of them.

Never unpacks anything, and never leaves an unverified file under its final name.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.atomic_files import write_json
from data.catalog.spec import DatasetSpec, RemoteFile
from data.disk_space import require_free_space
from data.errors import UserError
from data.exhaustion import hint_of
from data.held_folders import make_folder
from data.mounts import lock
from data.progress import Progress, silent
from data.records import SCHEMA
from data.redacted_urls import redact
from pipeline.download.checksums import Mismatch, VerifiedFiles, find_mismatch, find_wrong_kind, verify_file
from pipeline.download.mirror import Refused
from pipeline.download.partial_file import journal_path
from pipeline.download.proxies import describe_route
from pipeline.download.transfer import Transfer, TransferSettings

RECORD = "download.json"


@dataclasses.dataclass(frozen=True)
class DownloadSettings:
    """Where files may come from. None of it changes the files."""

    archives: tuple[Path, ...] = ()
    """Folders that may have the files already, directly or in a subfolder with the dataset's name."""
    transfer: TransferSettings = dataclasses.field(default_factory=TransferSettings)


@dataclasses.dataclass(frozen=True)
class _Downloader:
    """What all steps of one dataset's download need."""

    dataset: DatasetSpec
    out_dir: Path
    settings: DownloadSettings
    verified: VerifiedFiles


def download_dataset(
    dataset: DatasetSpec,
    out_dir: Path,
    settings: DownloadSettings = DownloadSettings(),
    *,
    progress: Progress = silent,
) -> None:
    """Bring all files of a dataset together, and write download.json last.

    Args:
        dataset: a dataset of kind archives, with its files.
        out_dir: directory of the files, which keep their names; adopted files are symbolic links.
        settings: where to look and how to fetch.
        progress: called with the bytes of all files together.

    Raises:
        UserError: the disk is too small, no mirror serves a file, or a file differs from the published one.
    """
    make_folder(out_dir)
    job = _Downloader(dataset, out_dir, settings, open_verified_files(out_dir))
    before, whole, missing = 0, sum(file.bytes for file in dataset.files), []
    with _locked(out_dir.with_name(f".{out_dir.name}.lock")):
        for file in dataset.files:
            if _find_on_disk(job, file, _ShiftedProgress(progress, before, whole)):
                before += (out_dir / file.name).stat().st_size
            else:
                missing.append(file)
        _require_urls(job, missing)
        needed_bytes = sum(max(0, file.bytes - _partial_bytes(out_dir, file)) for file in missing)
        require_free_space(out_dir, needed_bytes, f"The download of {dataset.name}")
        for file in missing:
            _fetch(job, file, _ShiftedProgress(progress, before, whole))
            before += (out_dir / file.name).stat().st_size
    progress(before, before)
    rows = {file.name: _make_row(file, out_dir / file.name, job.verified) for file in dataset.files}
    write_json(out_dir / RECORD, {"schema": SCHEMA, "dataset": dataset.name, "files": rows})


def is_unchanged(dataset: DatasetSpec, out_dir: Path) -> bool:
    """Return whether every file of a finished download exists, and was not touched since it was verified.

    A page that an older version took for a file without a published checksum counts as changed.
    """
    verified = open_verified_files(out_dir)
    return all(
        verified.find_checksum(out_dir / file.name, "") is not None
        and not find_wrong_kind(file, out_dir / file.name)
        for file in dataset.files
    )


def open_verified_files(out_dir: Path) -> VerifiedFiles:
    """Return the list of verified files, which all downloads of a store share."""
    return VerifiedFiles(out_dir.parent / "verified.jsonl")


def _make_row(file: RemoteFile, path: Path, verified: VerifiedFiles) -> dict[str, Any]:
    algorithm = file.checksum[0]
    checksum = verified.find_checksum(path, algorithm)
    return {"bytes": path.stat().st_size, **({algorithm: checksum} if checksum else {})}


def _find_on_disk(job: _Downloader, file: RemoteFile, progress: Progress) -> bool:
    """Return whether a verified file is in its place; if not, try to adopt it from a folder of archives."""
    path = job.out_dir / file.name
    if path.is_symlink():
        path.unlink()  # adopted by an earlier run: search and verify it once more
    if path.exists():
        if not verify_file(file, path, job.verified, progress):
            journal_path(_partial_path(path)).unlink(missing_ok=True)  # of a run that was killed just then
            return True
        _set_aside(path, path)
    for folder in job.settings.archives:
        for candidate in (folder / file.name, folder / job.dataset.name / file.name):
            with _explain_unreadable(candidate):
                if candidate.is_file():
                    _adopt(job, file, candidate, progress)
                    return True
    return False


@contextlib.contextmanager
def _explain_unreadable(candidate: Path) -> Iterator[None]:
    """Turn an OSError about a file in a folder of archives into a UserError."""
    try:
        yield
    except OSError as error:
        if error.filename != str(candidate):
            raise
        message = f"{candidate}, in a folder of [store] archives, can't be read: {error.strerror}"
        hint = hint_of(error) or "Correct its permissions or those of its folder, or change [store] archives"
        raise UserError(message, hint) from None


def _adopt(job: _Downloader, file: RemoteFile, candidate: Path, progress: Progress) -> None:
    mismatch = verify_file(file, candidate, job.verified, progress)
    if mismatch:
        raise UserError(
            f"{candidate} is not the published file: found {mismatch.found}, but {job.dataset.name} needs "
            f"{mismatch.expected}",
            "Put the right file there, or move this one away to download it",
        )
    (job.out_dir / file.name).symlink_to(candidate.resolve())


def _require_urls(job: _Downloader, missing: list[RemoteFile]) -> None:
    """Raise UserError, with the catalog's instructions, if a missing file can only be downloaded by hand."""
    without_url = [file.name for file in missing if not file.urls]
    if without_url:
        folders = ", ".join(map(str, job.settings.archives)) or "[store] archives is empty"
        raise UserError(
            f"Dataset {job.dataset.name} can't be downloaded automatically, and {', '.join(without_url)} is in no "
            f"folder of archives ({folders})",
            job.dataset.manual or "Download it by hand, and name its folder with --store-archives FOLDER",
        )


def _partial_bytes(out_dir: Path, file: RemoteFile) -> int:
    """Return how much disk space a partial file uses already."""
    part = _partial_path(out_dir / file.name)
    return part.stat().st_blocks * 512 if part.exists() else 0


def _fetch(job: _Downloader, file: RemoteFile, progress: Progress) -> None:
    """Fetch one file, trying the mirrors in turn."""
    path = job.out_dir / file.name
    failures = []
    for url in file.urls:
        failure = _fetch_from_mirror(job, file, url, progress)
        if failure is None:
            return
        failures.append(f"{redact(url)}{describe_route(url)}: {failure}")
    bad = _bad_path(path)
    kept = f" (the last wrong file is kept as {bad.name})" if bad.exists() else ""
    raise UserError(
        f"No mirror gave {file.name} for {job.out_dir}: {'; '.join(failures)}{kept}",
        job.dataset.manual
        or "Try again later (the downloaded bytes are kept), or name a folder that has it with --store-archives",
    )


def _fetch_from_mirror(job: _Downloader, file: RemoteFile, url: str, progress: Progress) -> str | None:
    """Fetch and verify a file; return None, or why this mirror failed.

    A file that fails verification is set aside. If it was fetched in pieces, one of them may belong to another version
    of the file, so it is fetched once more.
    """
    path = job.out_dir / file.name
    part = _partial_path(path)
    algorithm, expected = file.checksum
    mismatch: Mismatch | None = None
    for _ in range(2):
        transfer = Transfer(part, file.bytes, algorithm, job.settings.transfer, progress)
        try:
            checksum = transfer.fetch(url, checksum_decides=bool(expected))
            transfer.sync()
        except Refused as fault:
            return str(fault)
        finally:
            transfer.close()
        mismatch = find_mismatch(file, transfer.size_bytes, checksum) or find_wrong_kind(file, part)
        if mismatch is None:
            os.replace(part, path)
            journal_path(part).unlink()
            job.verified.add(path, algorithm, checksum)
            return None
        _set_aside(part, path)
        if not transfer.is_pieced:
            break
    return f"expected {mismatch.expected}, got {mismatch.found}" if mismatch else None


def _partial_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _bad_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.bad")


def _set_aside(wrong: Path, path: Path) -> None:
    """Keep a wrong file for inspection, under a name that nothing mistakes for the right one."""
    os.replace(wrong, _bad_path(path))
    journal_path(wrong).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Let one run at a time proceed; others wait. The lock file stays, since removing it would defeat the lock."""
    handle = os.open(
        file, os.O_RDWR | os.O_CREAT, 0o666
    )  # for writing: NFS needs this for locks between hosts
    try:
        lock(handle, file)
        yield
    finally:
        os.close(handle)


@dataclasses.dataclass(frozen=True)
class _ShiftedProgress:
    """A `Progress` of one file among several."""

    progress: Progress
    before: int
    whole: int

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.progress(self.before + done, max(self.whole, self.before + total), note)
