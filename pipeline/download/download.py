"""Download a dataset's files: adopted where they are on disk already, else fetched, and verified before they count.

Never unpacks anything, and never leaves a file under its final name that did not verify.
"""

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.atomic_files import write_json
from data.catalog.catalog import DatasetSpec, RemoteFile
from data.errors import UserError
from data.progress import Progress, silent
from data.records import SCHEMA
from pipeline.download.checksums import Memory, examine, problem
from pipeline.download.mirror import Refused
from pipeline.download.transfer import Transfer, TransferSettings, check_room, journal_path

RECORD = "download.json"


@dataclasses.dataclass(frozen=True)
class DownloadSettings:
    """How files are got; none of it changes what they are."""

    archives: tuple[Path, ...] = ()
    """Folders in which files may lie already: under their own name, or in a folder named as the dataset."""
    transfer: TransferSettings = dataclasses.field(default_factory=TransferSettings)


def download_dataset(
    dataset: DatasetSpec,
    out_dir: Path,
    settings: DownloadSettings = DownloadSettings(),
    *,
    progress: Progress = silent,
) -> None:
    """Bring all files of a dataset together and write download.json last.

    Args:
        dataset: of kind archives, with its files.
        out_dir: where the files go, under their own names; adopted ones as links.
        settings: how.
        progress: called with the bytes of all files together.

    Raises:
        UserError: the disk is too small, no mirror gave the file, or what came is not what was published.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    memory = memory_of(out_dir)
    before, whole, missing = 0, sum(file.bytes for file in dataset.files), []
    with _locked(out_dir.with_name(f".{out_dir.name}.lock")):
        for file in dataset.files:
            if _is_there(file, dataset, out_dir, settings, memory, _Shifted(progress, before, whole)):
                before += (out_dir / file.name).stat().st_size
            else:
                missing.append(file)
        _check_by_hand(dataset, missing, settings)
        check_room(out_dir, sum(max(0, file.bytes - _held(out_dir, file)) for file in missing), dataset.name)
        for file in missing:
            _fetch(file, out_dir, dataset, settings.transfer, memory, _Shifted(progress, before, whole))
            before += (out_dir / file.name).stat().st_size
    progress(before, before)
    rows = {file.name: _row(file, out_dir / file.name, memory) for file in dataset.files}
    write_json(out_dir / RECORD, {"schema": SCHEMA, "dataset": dataset.name, "files": rows})


def is_untouched(dataset: DatasetSpec, out_dir: Path) -> bool:
    """Return whether every file of a finished download is where it was, and as it was when it was verified."""
    memory = memory_of(out_dir)
    return all(memory.digest(out_dir / file.name, "") is not None for file in dataset.files)


def memory_of(out_dir: Path) -> Memory:
    """Return the list of verified files that all downloads of a store share."""
    return Memory(out_dir.parent / "verified.jsonl")


def _row(file: RemoteFile, path: Path, memory: Memory) -> dict[str, Any]:
    algorithm = file.checksum[0]
    digest = memory.digest(path, algorithm)
    return {"bytes": path.stat().st_size, **({algorithm: digest} if digest else {})}


def _is_there(
    file: RemoteFile,
    dataset: DatasetSpec,
    out_dir: Path,
    settings: DownloadSettings,
    memory: Memory,
    progress: Progress,
) -> bool:
    """Return whether a file is in its place, or adopt it from one of the folders of archives."""
    path = out_dir / file.name
    if path.is_symlink():
        path.unlink()  # adopted by an earlier run: looked for and looked at once more
    if path.exists():
        if not examine(file, path, memory, progress):
            return True
        _set_aside(path, path)
    candidates = [folder / where / file.name for folder in settings.archives for where in ("", dataset.name)]
    for candidate in candidates:
        if not candidate.is_file():
            continue
        found = examine(file, candidate, memory, progress)
        if found:
            remedy = "put the right file there, or move this one away to have it fetched"
            raise UserError(f"{file.name} with {found[0]}", found[1], str(candidate), remedy)
        path.symlink_to(candidate.resolve())
        return True
    return False


def _check_by_hand(dataset: DatasetSpec, missing: list[RemoteFile], settings: DownloadSettings) -> None:
    """Refuse to fetch what has to be got by hand, in the catalog's words."""
    by_hand = [file.name for file in missing if not file.urls]
    if by_hand:
        looked = ", ".join(map(str, settings.archives)) or "[store] archives names none"
        raise UserError(
            f"{', '.join(by_hand)} in a folder of archives",
            f"none there ({looked})",
            f"dataset {dataset.name}, which can't be fetched by a program",
            dataset.manual or "get it by hand, and name its folder with --store-archives FOLDER",
        )


def _held(out_dir: Path, file: RemoteFile) -> int:
    """Return the bytes of a partial file that take room already."""
    part = _part(out_dir / file.name)
    return part.stat().st_blocks * 512 if part.exists() else 0


def _fetch(
    file: RemoteFile,
    out_dir: Path,
    dataset: DatasetSpec,
    settings: TransferSettings,
    memory: Memory,
    progress: Progress,
) -> None:
    """Bring one file to its place, trying the mirrors in turn."""
    path = out_dir / file.name
    failures = []
    for url in file.urls:
        failure = _from_mirror(url, file, path, settings, memory, progress)
        if failure is None:
            return
        failures.append(f"{url}: {failure}")
    aside = path.with_name(f"{path.name}.bad")
    kept = f" (the last bad one is kept as {aside.name})" if aside.exists() else ""
    raise UserError(
        f"{file.name} from one of its mirrors",
        "; ".join(failures) + kept,
        str(out_dir),
        dataset.manual
        or "try again later (what was fetched is kept), or name a folder that has it with --store-archives",
    )


def _from_mirror(
    url: str, file: RemoteFile, path: Path, settings: TransferSettings, memory: Memory, progress: Progress
) -> str | None:
    """Fetch and verify a file; return None, or why this mirror failed.

    A file that does not verify is set aside. If it came in pieces, one of them may have been of another file: then it
    is fetched once more.
    """
    part = _part(path)
    algorithm, wanted = file.checksum
    found = None
    for _ in range(2):
        transfer = Transfer(part, file.bytes, algorithm, settings, progress)
        try:
            digest = transfer.fetch(url, keep_foreign=bool(wanted))
            transfer.sync()
        except Refused as fault:
            return str(fault)
        finally:
            transfer.close()
        found = problem(file, transfer.journal.total, digest)
        if not found:
            os.replace(part, path)
            journal_path(part).unlink()
            memory.remember(path, algorithm, digest)
            return None
        _set_aside(part, path)
        if not transfer.pieced:
            break
    return f"expected {found[0]}, got {found[1]}"


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _set_aside(wrong: Path, path: Path) -> None:
    """Keep a wrong file for a person to look at, under a name that nothing takes for the right one."""
    os.replace(wrong, path.with_name(f"{path.name}.bad"))
    journal_path(wrong).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Let one run at a time go on; others wait. The file stays: one that is removed would lock nobody out."""
    held = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)  # for writing: between hosts, NFS has no other locks
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


@dataclasses.dataclass(frozen=True)
class _Shifted:
    """A `Progress` for one file among several."""

    progress: Progress
    before: int
    whole: int

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.progress(self.before + done, max(self.whole, self.before + total), note)
