"""Download a dataset's archives: resumable, from several mirrors, verified before they get their name.

Never unpacks anything, and never leaves a file under its final name that did not verify.
"""

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from data.catalogue import DatasetSpec, RemoteFile
from data.errors import UserError
from data.files import write_json
from data.progress import Progress, silent
from data.records import SCHEMA

RECORD = "download.json"
ATTEMPTS = 5
"""Tries for each mirror; a try that brought new bytes does not count."""
_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 60


def download_dataset(
    dataset: DatasetSpec,
    out_dir: Path,
    *,
    progress: Progress = silent,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch all archives of a dataset and write download.json last.

    Args:
        dataset: of kind archives, with its files.
        out_dir: where the archives go, under their own names.
        progress: called with bytes.
        pause: waits that many seconds between tries.

    Raises:
        UserError: the disk is too small, no mirror gave the file, or what came is not what was published.
    """
    if not dataset.files:
        raise UserError(
            "files to download", "none", f"dataset {dataset.name}", dataset.manual or "get it by hand"
        )
    sizes = {}
    for file in dataset.files:
        path = out_dir / Path(file.name).name
        if not path.exists():
            _fetch(file, path, progress, pause)
        sizes[path.name] = path.stat().st_size
    write_json(out_dir / RECORD, {"schema": SCHEMA, "dataset": dataset.name, "files": sizes})


def _fetch(file: RemoteFile, path: Path, progress: Progress, pause: Callable[[float], None]) -> None:
    """Bring one file to its place, trying the mirrors in turn."""
    part = path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_space(file, part)
    failures = []
    for url in file.urls:
        failure = _from_mirror(url, file, part, progress, pause)
        if failure is None:
            _verify(file, part)
            os.replace(part, path)
            return
        failures.append(f"{url}: {failure}")
    raise UserError(
        f"{file.name} from one of its mirrors",
        "; ".join(failures),
        str(path.parent),
        "try again later (what was fetched is kept), or put the file there by hand",
    )


def _check_space(file: RemoteFile, part: Path) -> None:
    there = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(part.parent).free
    if file.bytes and file.bytes - there > free:
        expected, found = f"{file.bytes - there} bytes free for {file.name}", f"{free}"
        raise UserError(expected, found, str(part.parent), "free some space or move [store] root")


def _from_mirror(
    url: str, file: RemoteFile, part: Path, progress: Progress, pause: Callable[[float], None]
) -> str | None:
    """Append to the partial file until it is whole; return None, or why this mirror failed."""
    failure, tries = "", 0
    while tries < ATTEMPTS:
        before = part.stat().st_size if part.exists() else 0
        try:
            _append(url, file, part, progress)
            return None
        except urllib.error.HTTPError as error:
            failure = f"HTTP {error.code} {error.reason}"
            if error.code == 416:
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code != 429:
                return failure
        except (OSError, http.client.HTTPException) as error:
            failure = f"{type(error).__name__}: {error}"
        grew = part.exists() and part.stat().st_size > before
        tries = 0 if grew else tries + 1
        if tries < ATTEMPTS:
            pause(min(2.0**tries, 60.0))
    return failure


def _append(url: str, file: RemoteFile, part: Path, progress: Progress) -> None:
    """Request what is missing and append it; a server that ignores ranges starts anew.

    Raises:
        OSError: the connection ended before the whole file had come.
    """
    there = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "super-resolution-factory"})
    if there:
        request.add_header("Range", f"bytes={there}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:
        continued = reply.status == http.client.PARTIAL_CONTENT
        length = reply.headers.get("Content-Length")
        done = there if continued else 0
        total = done + int(length) if length else file.bytes
        progress(done, max(total, done))
        with open(part, "ab" if continued else "wb") as out:
            while block := reply.read(_BLOCK_BYTES):
                out.write(block)
                done += len(block)
                progress(done, max(total, done))
            out.flush()
            os.fsync(out.fileno())
    if total and done < total:
        raise ConnectionError(f"ended after {done} of {total} bytes")


def _verify(file: RemoteFile, part: Path) -> None:
    """Compare size and checksum; a wrong file is kept aside under another name.

    Raises:
        UserError: they differ from the published ones.
    """
    algorithm, wanted = ("sha256", file.sha256) if file.sha256 else ("md5", file.md5)
    found = part.stat().st_size
    problem = f"{found} bytes" if file.bytes and found != file.bytes else ""
    expected = f"{file.bytes} bytes"
    if not problem and wanted:
        with open(part, "rb") as opened:
            digest = hashlib.file_digest(opened, algorithm).hexdigest()
        if digest != wanted:
            problem, expected = f"{algorithm} {digest}", f"{algorithm} {wanted}"
    if problem:
        aside = part.with_name(f"{file.name}.bad")
        os.replace(part, aside)
        remedy = f"look at {aside.name} (kept beside), then run again to fetch it anew"
        raise UserError(f"{file.name} with {expected}", problem, str(part.parent), remedy)
