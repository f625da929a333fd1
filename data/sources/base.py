"""What every source does: scan for pictures, read them, and tell when it has changed.

A source that stores bytes (a folder, an archive) subclasses `StoredSource` and says only how to list and load them.
"""

import abc
import dataclasses
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from data.digests import sha256_bytes
from data.errors import UserError
from data.images import ImageFault, decode, probe
from data.progress import Progress, silent
from data.records import Reason, Rejection, SourceEntry

LARGEST_BYTES = 1 << 30
"""A stored picture larger than this is not read."""
_AHEAD = 4
"""Members in flight for each thread while scanning: enough to keep it busy, few enough to bound memory."""


class Source(abc.ABC):
    """Pictures in one place.

    `scan` looks at headers; `read` decodes. Neither ever drops anything silently: what is not used is a Rejection.
    """

    @abc.abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Return JSON data that changes when the source's content does; cheap: no picture is opened."""

    @abc.abstractmethod
    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield what is there, in a fixed order, without decoding a pixel."""

    @abc.abstractmethod
    def read(self, entries: Iterable[SourceEntry]) -> Iterator[tuple[SourceEntry, np.ndarray | Rejection]]:
        """Yield each entry with its pixels (uint8, height x width x 3, sRGB), or with why it has none.

        Raises:
            UserError: the source is not the one that was scanned.
        """


@dataclasses.dataclass(frozen=True)
class Member:
    """A stored picture before anything of it was read."""

    id: str
    locator: str
    bytes: int


class StoredSource(Source):
    """A source of stored bytes."""

    @abc.abstractmethod
    def members(self) -> Iterator[Member | Rejection]:
        """Yield what is there in a fixed order: what may be a picture as a Member, the rest as Rejections."""

    @abc.abstractmethod
    def load(self, locator: str) -> bytes:
        """Return the stored bytes of a member; safe to call from several threads.

        Raises:
            ImageFault: the bytes can't be had (encrypted, damaged archive).
        """

    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield an entry or a rejection for everything that is there, reading `threads` members at once."""
        listed = list(self.members())
        with ThreadPoolExecutor(max_workers=threads) as pool:
            for start in range(0, len(listed), threads * _AHEAD):
                chunk = listed[start : start + threads * _AHEAD]
                for offset, found in enumerate(pool.map(self._look, chunk), start + 1):
                    yield found
                    progress(offset, len(listed))

    def _look(self, member: Member | Rejection) -> SourceEntry | Rejection:
        if isinstance(member, Rejection):
            return member
        try:
            if member.bytes > LARGEST_BYTES:
                raise ImageFault(Reason.TOO_LARGE, f"{member.bytes} bytes stored")
            content = self.load(member.locator)
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
        )

    def read(self, entries: Iterable[SourceEntry]) -> Iterator[tuple[SourceEntry, np.ndarray | Rejection]]:
        """Yield each entry with its pixels or its rejection; the bytes are held against the index's hash."""
        for entry in entries:
            try:
                content = self.load(entry.locator)
                self._hold(entry, content)
                picture = decode(content)
            except ImageFault as fault:
                yield entry, Rejection(entry.id, "pack", fault.reason, fault.detail)
                continue
            height, width = picture.shape[:2]
            if (height, width) == (entry.height, entry.width):
                yield entry, picture
            else:
                detail = f"decodes to {width}x{height}; its header says {entry.width}x{entry.height}"
                yield entry, Rejection(entry.id, "pack", Reason.UNREADABLE, detail)

    def _hold(self, entry: SourceEntry, content: bytes) -> None:
        found = sha256_bytes(content)
        if found != entry.sha256:
            raise UserError(
                f"the picture that was indexed (sha256 {entry.sha256[:12]}…)",
                f"another one (sha256 {found[:12]}…)",
                f"{entry.id} ({entry.locator})",
                "put the old file back, or run again: a changed source is indexed anew",
            )
