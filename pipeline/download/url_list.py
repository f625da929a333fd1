"""Fetch the images that a list of URLs names: a dataset that is published as addresses and not as files.

The hosts belong to other people: each gets few connections at once, and a pause after every request. What is fetched
stays, so a killed run goes on where it was. A link that gives no image is a rejection with its reason.
"""

import collections
import dataclasses
import json
import re
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data.atomic_files import jsonl_line, read_json, write_bytes, write_json, write_jsonl
from data.errors import UserError
from data.hashing import sha256_bytes
from data.imaging.header import SUFFIXES
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import SCHEMA, Rejection, RejectionReason
from data.redacted_urls import redact
from data.sources.url_list import FAILURES, IMAGES
from pipeline.download.mirror import Changed, Interrupted, Mirror, NoRanges, Refused, read_block
from pipeline.download.transfer import backoff_s

RECORD = "fetch.json"
_OPTED_OUT = re.compile(r"\b(noai|noimageai)\b", re.IGNORECASE)
_URL = re.compile(r"https?://\S+")
_TYPES = {"image/png": ".png", "image/webp": ".webp", "image/tiff": ".tif", "image/bmp": ".bmp"}
_MAX_LIST_BYTES = 1 << 28
_MAX_UNANSWERED = 3
"""A host that has not answered so many links is asked for no other: so thousands of timeouts are not waited for."""


@dataclasses.dataclass(frozen=True)
class PoliteSettings:
    """How to fetch. None of it changes what is asked for."""

    connections: int = 16
    """Most requests at once, to all hosts together."""
    per_host: int = 2
    """Most requests at once to one host."""
    pause_s: float = 0.5
    """Pause after each request, before the same connection's next one to that host."""
    attempts: int = 3
    """Times that a link is tried, if a later try may succeed."""
    timeout_s: float = 30.0
    """A connection that is silent for this long counts as broken."""
    max_bytes: int = 200 << 20
    """A larger file is not kept."""
    pause: Callable[[float], None] = time.sleep
    """Waits for this many seconds."""


class ListedUrl(NamedTuple):
    """An address of a list."""

    id: str
    """Path of the image, without its suffix: the list's, the number of the line, and a part of the address's hash."""
    url: str


def read_url_lists(archives: Sequence[Path], members: str = "") -> list[ListedUrl]:
    """Return the addresses in the texts of zips, each once, in the order of the lists.

    Args:
        archives: zips of lists (.txt), one address in a line; what stands beside it is ignored.
        members: only lists whose path begins with this.

    Raises:
        UserError: a zip is damaged, or there is no address.
    """
    found: dict[str, ListedUrl] = {}
    for path in archives:
        try:
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.lower().endswith(".txt") and name.startswith(members):
                        for one in _parse_list(name, _read_list(archive, name)):
                            found.setdefault(one.url, one)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
            message = f"The lists of URLs in {path} can't be read: {error}"
            raise UserError(message, "Delete the file, and run the command again") from None
    if not found:
        raise UserError(
            f"There is no URL in the lists of {', '.join(map(str, archives))}", "Look what the file holds"
        )
    return list(found.values())


def _read_list(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as file:
        return file.read(_MAX_LIST_BYTES).decode("utf-8", errors="replace")


def _parse_list(name: str, text: str) -> Iterator[ListedUrl]:
    parts = [re.sub(r"[^\w-]", "_", part) for part in PurePosixPath(name).with_suffix("").parts]
    folder = "/".join(part for part in parts if part.strip("_"))
    for number, line in enumerate(text.splitlines(), 1):
        if url := _URL.search(line):
            yield ListedUrl(f"{folder}/{number:06}-{sha256_bytes(url[0].encode())[:8]}", url[0])


def fetch_urls(
    listed: Sequence[ListedUrl],
    out_dir: Path,
    settings: PoliteSettings = PoliteSettings(),
    *,
    progress: Progress = silent,
) -> None:
    """Fetch all images of a list that are not there yet, and write fetch.json last.

    Args:
        listed: the addresses.
        out_dir: directory to write to.
        settings: how to fetch.
        progress: called with the number of addresses.

    Raises:
        UserError: not one address gives an image, so that it is likely that this machine has no connection.
    """
    (out_dir / IMAGES).mkdir(parents=True, exist_ok=True)
    job = _Job(out_dir, settings, progress, len(listed))
    waiting = [one for one in listed if not job.is_done(one)]
    queues = _divide(waiting, settings.per_host)
    with ThreadPoolExecutor(settings.connections, "urls") as pool:
        for _ in pool.map(job.fetch_queue, queues):
            pass
    if job.fetched == 0:
        job.journal.unlink(missing_ok=True)  # so that the next run tries them again
        first = min(job.failures.values(), key=lambda one: one.id)
        raise UserError(
            f"Not one of {len(listed)} URLs gave an image; the first: {first.detail}",
            "Check the connection and the proxy, and run the command again",
        )
    rejections = sorted(job.failures.values(), key=lambda one: one.id)
    write_jsonl(out_dir / FAILURES, map(to_plain, rejections))
    reasons = collections.Counter(str(one.reason) for one in rejections)
    totals = {"urls": len(listed), "fetched": job.fetched, "rejected": len(rejections)}
    write_json(
        out_dir / RECORD, {"schema": SCHEMA, "totals": totals, "rejections": dict(sorted(reasons.items()))}
    )


def read_fetch_record(out_dir: Path) -> dict[str, dict[str, int]]:
    """Return the content of fetch.json."""
    return dict(read_json(out_dir / RECORD))


def count_hosts(listed: Sequence[ListedUrl]) -> int:
    """Return the number of hosts of a list."""
    return len({_host(one) for one in listed})


def _host(one: ListedUrl) -> str:
    try:
        return urllib.parse.urlsplit(one.url).hostname or ""
    except ValueError:  # not an address after all; the request says so
        return ""


def _divide(waiting: Sequence[ListedUrl], per_host: int) -> list[list[ListedUrl]]:
    """Return lists of addresses to fetch one after the other: at most `per_host` for a host, the longest first."""
    hosts: dict[str, list[ListedUrl]] = {}
    for one in waiting:
        hosts.setdefault(_host(one), []).append(one)
    queues = [urls[start::per_host] for urls in hosts.values() for start in range(min(per_host, len(urls)))]
    return sorted(queues, key=len, reverse=True)


class _Job:
    """What the threads of one fetch share."""

    def __init__(self, out_dir: Path, settings: PoliteSettings, progress: Progress, total: int) -> None:
        self._images, self.journal = out_dir / IMAGES, out_dir / "journal.jsonl"
        self._settings, self._progress, self._total = settings, progress, total
        self._lock = threading.Lock()
        self._unanswered: collections.Counter[str] = collections.Counter()
        """For each host how many links it has not answered since it last gave an image."""
        self.failures = self._read_journal()
        self._stems = {
            path.relative_to(self._images).with_suffix("").as_posix()
            for path in self._images.rglob("*")
            if path.suffix in SUFFIXES
        }

    @property
    def fetched(self) -> int:
        """Number of images that are there."""
        return len(self._stems)

    def is_done(self, one: ListedUrl) -> bool:
        """Return whether an address was fetched, or has failed."""
        return one.id in self._stems or one.id in self.failures

    def _read_journal(self) -> dict[str, Rejection]:
        """Return the failures of earlier runs. The last line may be cut off: its address is tried again."""
        found: dict[str, Rejection] = {}
        lines = self.journal.read_bytes().splitlines(keepends=True) if self.journal.is_file() else []
        for line in lines:
            if line.endswith(b"\n"):
                id, reason, detail = json.loads(line)
                found[id] = Rejection(id, "index", RejectionReason(reason), detail)
        if lines and not lines[-1].endswith(b"\n"):
            write_bytes(self.journal, b"".join(lines[:-1]))
        return found

    def fetch_queue(self, queue: Sequence[ListedUrl]) -> None:
        """Fetch addresses of one host, one after the other."""
        for number, one in enumerate(queue):
            if number:
                self._settings.pause(self._settings.pause_s)
            failure = self._fetch(one)
            with self._lock:
                if failure:
                    self.failures[one.id] = failure
                    with open(self.journal, "ab") as file:
                        file.write(jsonl_line([failure.id, str(failure.reason), failure.detail]))
                self._progress(self.fetched + len(self.failures), self._total)

    def _fetch(self, one: ListedUrl) -> Rejection | None:
        """Fetch an image; return why there is none, or None."""
        host = _host(one)
        if self._unanswered[host] >= _MAX_UNANSWERED:
            return _reject(one, f"its host did not answer {_MAX_UNANSWERED} links in a row")
        try:
            suffix, content = self._try_often(one.url)
        except _NotWantedError as error:
            return _reject(one, str(error), error.reason)
        except (Refused, ValueError) as error:  # a ValueError: it is no valid URL
            return _reject(one, str(error))
        except (Interrupted, Changed, NoRanges) as error:
            if not str(error).startswith("HTTP"):
                self._unanswered[host] += 1
            return _reject(one, str(error))
        self._unanswered[host] = 0
        write_bytes(self._images / f"{one.id}{suffix}", content)
        with self._lock:
            self._stems.add(one.id)
        return None

    def _try_often(self, url: str) -> tuple[str, bytes]:
        """Return suffix and bytes of an image, after several attempts where a later one may succeed."""
        for attempt in range(1, self._settings.attempts):
            try:
                return self._request(url)
            except (Interrupted, Changed, NoRanges) as error:
                self._settings.pause(backoff_s(attempt, getattr(error, "retry_after_s", 0.0)))
        return self._request(url)

    def _request(self, url: str) -> tuple[str, bytes]:
        """Return suffix and bytes of an image.

        Raises:
            _NotWantedError: it is another file, too large, or not to be used.
            Refused, Interrupted, Changed, NoRanges: see `Mirror.request`.
        """
        with Mirror(url, self._settings.timeout_s).request(None, {}) as (reply, answer):
            asked = ", ".join(reply.headers.get_all("X-Robots-Tag") or ())
            if _OPTED_OUT.search(asked):
                message = f"its host does not want it to be trained on ({asked})"
                raise _NotWantedError(message, RejectionReason.OPTED_OUT)
            if answer.fault:
                raise _NotWantedError(answer.fault)
            content, broken = read_block(reply, self._settings.max_bytes + 1)
            if len(content) > self._settings.max_bytes:
                message = f"more than {self._settings.max_bytes} bytes"
                raise _NotWantedError(message, RejectionReason.TOO_LARGE)
            if broken or (answer.end is not None and len(content) < answer.end):
                raise Interrupted(f"it ended after {len(content)} bytes")
            suffix = PurePosixPath(urllib.parse.urlsplit(url).path).suffix.lower()
            if suffix not in SUFFIXES:
                suffix = _TYPES.get(reply.headers.get_content_type(), ".jpg")
            return suffix, content


class _NotWantedError(Exception):
    """A link gives something that is not kept."""

    def __init__(self, problem: str, reason: RejectionReason = RejectionReason.UNREACHABLE) -> None:
        super().__init__(problem)
        self.reason = reason


def _reject(one: ListedUrl, problem: str, reason: RejectionReason = RejectionReason.UNREACHABLE) -> Rejection:
    return Rejection(one.id, "index", reason, f"{redact(one.url)}: {problem}")
