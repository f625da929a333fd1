"""What every source does: scan for images, read them, and tell when it has changed.

A source that stores bytes (a folder, an archive) subclasses `StoredSource` and says only how to list and load them.
"""

import abc
import collections
import dataclasses
import itertools
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from data.errors import UserError
from data.hashing import sha256_bytes
from data.imaging.bit_depth import bit_depth
from data.imaging.decode import ImageFault, decode, probe
from data.progress import Progress, silent
from data.records import Reason, Rejection, SourceEntry

LARGEST_BYTES = 1 << 30
"""A stored image larger than this is not read."""
_BATCH = 16
"""Members that a thread looks at in one go: handing them over costs more than looking at a small one."""
_AHEAD = 4
"""Batches in flight for each thread: enough to keep it busy, few enough to bound memory."""
_LARGE_BYTES = 1 << 18
_IN_TURN = threading.Lock()


class Source(abc.ABC):
    """Images in one place.

    `scan` looks at headers; `read` decodes. Neither ever drops anything silently: what is not used is a Rejection.
    """

    @abc.abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Return JSON data that changes when the source's content does; cheap: no image is opened."""

    @abc.abstractmethod
    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield what is there, in a fixed order. Of images only the headers are read."""

    @abc.abstractmethod
    def read(self, entries: Iterable[SourceEntry]) -> Iterator[tuple[SourceEntry, np.ndarray | Rejection]]:
        """Yield each entry with its pixels (uint8, height x width x 3, sRGB), or with why it has none.

        Raises:
            UserError: the source is not the one that was scanned.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A stored image before anything of it was read."""

    id: str
    locator: str
    bytes: int
    modified_ns: int = 0
    """As in SourceEntry."""


Listed = tuple[float, Member | Rejection]
"""How much of the source is behind it, 0 to 1, and what was found: so that a scan need not count before it begins."""


class Archive(Protocol):
    """One archive, read by position; several threads may read at once."""

    def listing(self, prefix: str, wanted: str, lead: str) -> Iterator[Listed]:
        """Yield what is inside in stored order, but folders.

        Args:
            prefix: of the ids.
            wanted: only members whose name begins with it are looked at.
            lead: what the locators begin with; `load` takes them without it.
        """

    def load(self, place: str) -> bytes:
        """Return a member's bytes.

        Raises:
            ImageFault: they can't be had.
        """


class StoredSource(Source):
    """A source of stored bytes.

    Args:
        alpha: what becomes of transparent images, see `data.imaging.decode.decode`.
    """

    def __init__(self, alpha: str = "refuse") -> None:
        self.alpha = alpha

    @abc.abstractmethod
    def members(self) -> Iterator[Listed]:
        """Yield what is there in a fixed order: what may be an image as a Member, the rest as Rejections."""

    @abc.abstractmethod
    def load(self, locator: str) -> bytes:
        """Return the stored bytes of a member; safe to call from several threads.

        Raises:
            ImageFault: the bytes can't be had (encrypted, damaged archive).
        """

    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield an entry or a rejection for everything that is there, reading `threads` members at once.

        What is listed is looked at while the listing goes on, so memory does not grow with the source.
        """
        waiting: collections.deque[tuple[list[float], Future]] = collections.deque()
        done = 0
        with ThreadPoolExecutor(max_workers=threads) as pool:
            try:
                for batch in _batches(self.members()):
                    shares, found = zip(*batch, strict=True)
                    waiting.append((shares, pool.submit(self._look_at_all, found)))
                    if len(waiting) >= threads * _AHEAD:
                        done = yield from _told(waiting.popleft(), done, progress)
                while waiting:
                    done = yield from _told(waiting.popleft(), done, progress)
                progress(done, done)
            finally:
                for _, future in waiting:
                    future.cancel()

    def _look_at_all(self, found: tuple[Member | Rejection, ...]) -> list[SourceEntry | Rejection]:
        """Look at a batch: read side by side with other threads; then look at small images one thread at a time.

        Headers and hashes of small ones are mostly Python's own work, which threads only take out of each other's
        hands: two of them side by side were half as fast as one.
        """
        if any(isinstance(one, Member) and one.bytes >= _LARGE_BYTES for one in found):
            return [_described(one, self._loaded(one)) for one in found]
        loaded = [self._loaded(one) for one in found]
        with _IN_TURN:
            return [_described(one, content) for one, content in zip(found, loaded, strict=True)]

    def _loaded(self, found: Member | Rejection) -> bytes | Rejection:
        """Return a member's bytes, or why there are none."""
        if isinstance(found, Rejection):
            return found
        try:
            if found.bytes > LARGEST_BYTES:
                raise ImageFault(Reason.TOO_LARGE, f"{found.bytes} bytes stored")
            return self.load(found.locator)
        except ImageFault as fault:
            return Rejection(found.id, "index", fault.reason, fault.detail)

    def read(self, entries: Iterable[SourceEntry]) -> Iterator[tuple[SourceEntry, np.ndarray | Rejection]]:
        """Yield each entry with its pixels or its rejection.

        The bytes are held against the index's hash, unless the file was not touched since. Bytes that can't be had
        any more are no Rejection, since the index had them: only pixels that can't be decoded are.
        """
        for entry in entries:
            content = self._indexed(entry)
            try:
                image = decode(content, self.alpha)
            except ImageFault as fault:
                yield entry, Rejection(entry.id, "pack", fault.reason, fault.detail)
                continue
            height, width = image.shape[:2]
            if (height, width) == (entry.height, entry.width):
                yield entry, image
            else:
                detail = f"decodes to {width}x{height}; its header says {entry.width}x{entry.height}"
                yield entry, Rejection(entry.id, "pack", Reason.UNREADABLE, detail)

    def is_untouched(self, entry: SourceEntry) -> bool:
        """Return whether size and time say that an entry's file is as it was indexed, so that no hash is needed."""
        return False

    def _indexed(self, entry: SourceEntry) -> bytes:
        """Return an entry's bytes, which are those that were indexed.

        Raises:
            UserError: they are not, or can't be had.
        """
        try:
            content = self.load(entry.locator)
        except ImageFault as fault:
            raise _changed(entry, fault.detail) from None
        if not self.is_untouched(entry):
            found = sha256_bytes(content)
            if found != entry.sha256:
                raise _changed(entry, f"another one (sha256 {found[:12]}…)")
        return content


def _changed(entry: SourceEntry, found: str) -> UserError:
    return UserError(
        f"the image that was indexed (sha256 {entry.sha256[:12]}…)",
        found,
        f"{entry.id} ({entry.locator})",
        "put the old file back, or run again: a changed source is indexed anew",
    )


def _batches(listed: Iterator[Listed]) -> Iterator[list[Listed]]:
    while batch := list(itertools.islice(listed, _BATCH)):
        yield batch


def _told(
    batch: tuple[tuple[float, ...], Future], done: int, progress: Progress
) -> Generator[SourceEntry | Rejection, None, int]:
    """Yield what came of a batch, telling the progress; return how many are done after it."""
    shares, future = batch
    for share, found in zip(shares, future.result(), strict=True):
        done += 1
        yield found
        progress(done, max(done, round(done / share)) if share else 0)
    return done


def _described(member: Member | Rejection, content: bytes | Rejection) -> SourceEntry | Rejection:
    """Return an image's row, from its header and its bytes."""
    if isinstance(content, Rejection):
        return content
    try:
        header = probe(content)
    except ImageFault as fault:
        return Rejection(member.id, "index", fault.reason, fault.detail)
    return SourceEntry(
        id=member.id,
        locator=member.locator,
        width=header.width,
        height=header.height,
        format=header.format,
        bytes=len(content),
        sha256=sha256_bytes(content),
        lossy=header.lossy,
        group=member.id,
        bit_depth=bit_depth(content, header.format),
        modified_ns=member.modified_ns,
    )
