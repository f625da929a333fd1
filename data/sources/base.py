"""The interface of every source: scan for images, decode them, and notice when the source has changed.

A source that stores bytes (a folder, an archive) subclasses `StoredSource` and only lists and loads its members.
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
import numpy.typing as npt

from data.errors import UserError
from data.exhaustion import explain_exhaustion
from data.hashing import sha256_bytes
from data.imaging.bit_depth import bit_depth
from data.imaging.decode import ImageFault, decode, probe
from data.progress import Progress, silent
from data.records import Rejection, RejectionReason, SourceEntry

LARGEST_BYTES = 1 << 30
"""A stored image larger than this is rejected."""
_BATCH = 16
"""Members per task of the thread pool: handing over a task costs more than probing one small image."""
_BATCHES_PER_THREAD = 4
"""Batches in flight: enough to keep each thread busy, few enough to bound memory."""
_LARGE_BYTES = 1 << 18
"""From this size on, several threads probe images at once."""
_SMALL_IMAGES_LOCK = threading.Lock()


class Source(abc.ABC):
    """Images in one place.

    `scan` reads headers, `read` decodes pixels. Neither skips anything silently: what is not used is a Rejection.
    """

    notes: tuple[str, ...] = ()
    """After `scan`: what was done so that nothing is lost, in words."""
    is_exact: bool = False
    """Whether `read` gives the same pixels on every machine, so that a digest of them can name an image."""

    @abc.abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Return JSON data that changes when the source's content changes. Cheap: it opens no image."""

    @abc.abstractmethod
    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield an entry for each image and a rejection for anything else, in a fixed order. Decodes no pixels."""

    @abc.abstractmethod
    def read(
        self, entries: Iterable[SourceEntry]
    ) -> Iterator[tuple[SourceEntry, npt.NDArray[np.uint8] | Rejection]]:
        """Yield each entry with its pixels (uint8, height x width x 3, sRGB) or with the reason it has none.

        Raises:
            UserError: the source has changed since it was scanned.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A file in a folder or an archive that may be an image. Nothing of it has been read yet."""

    id: str
    """As in SourceEntry."""
    locator: str
    """As in SourceEntry."""
    bytes: int
    """Size of the image file in bytes."""
    modified_ns: int = 0
    """As in SourceEntry."""


ListedMember = tuple[float, Member | Rejection]
"""The share of the source that has been listed (0 to 1), for progress without counting first; and what was found."""


class Archive(Protocol):
    """One archive, read in place by byte position. Several threads may read at once."""

    def list_members(self, id_prefix: str, path_prefix: str, locator_prefix: str) -> Iterator[ListedMember]:
        """Yield everything but folders, in stored order.

        Args:
            id_prefix: prepended to each id.
            path_prefix: only members whose name starts with it are listed.
            locator_prefix: prepended to each locator; `load` takes locators without it.
        """

    def load(self, locator: str) -> bytes:
        """Return a member's bytes.

        Raises:
            ImageFault: they can't be read.
        """


class StoredSource(Source):
    """A source of stored image files.

    Args:
        alpha: how to handle transparent images, see `data.imaging.decode.decode`.
    """

    is_exact = True

    def __init__(self, alpha: str = "refuse") -> None:
        self.alpha = alpha

    @abc.abstractmethod
    def list_members(self) -> Iterator[ListedMember]:
        """Yield possible images as a Member and everything else as a Rejection, in a fixed order."""

    @abc.abstractmethod
    def load(self, locator: str) -> bytes:
        """Return the stored bytes of a member. Several threads may call it at once.

        Raises:
            ImageFault: the bytes can't be read (encrypted, damaged archive).
            MemoryError, OSError: the machine has run out of something, which is no property of the image.
        """

    def scan(self, threads: int = 1, progress: Progress = silent) -> Iterator[SourceEntry | Rejection]:
        """Yield an entry or a rejection for each member, probing up to `threads` members at once.

        Members are probed while the listing goes on, so memory does not grow with the size of the source.
        """
        waiting: collections.deque[_PendingBatch] = collections.deque()
        done = 0
        with ThreadPoolExecutor(max_workers=threads) as pool:
            try:
                for batch in _batches(self.list_members()):
                    members = [member for _, member in batch]
                    waiting.append(([share for share, _ in batch], pool.submit(self._probe_batch, members)))
                    if len(waiting) >= threads * _BATCHES_PER_THREAD:
                        done = yield from _finish_batch(waiting.popleft(), done, progress)
                while waiting:
                    done = yield from _finish_batch(waiting.popleft(), done, progress)
                progress(done, done)
            finally:
                for _, future in waiting:
                    future.cancel()

    def _probe_batch(self, members: list[Member | Rejection]) -> list[SourceEntry | Rejection]:
        """Load a batch in parallel with other threads, then probe small images in one thread at a time.

        Probing and hashing a small image is mostly Python code, for which threads compete: two threads at once were
        half as fast as one.
        """
        if any(isinstance(member, Member) and member.bytes >= _LARGE_BYTES for member in members):
            return [_probe_member(member, self._try_load(member)) for member in members]
        loaded = [self._try_load(member) for member in members]
        with _SMALL_IMAGES_LOCK:
            return [_probe_member(member, content) for member, content in zip(members, loaded, strict=True)]

    def _try_load(self, member: Member | Rejection) -> bytes | Rejection:
        """Return a member's bytes, or a rejection if they can't be read."""
        if isinstance(member, Rejection):
            return member
        try:
            if member.bytes > LARGEST_BYTES:
                raise ImageFault(RejectionReason.TOO_LARGE, f"{member.bytes} bytes stored")
            return self.load(member.locator)
        except ImageFault as fault:
            return Rejection(member.id, "index", fault.reason, fault.detail)
        except (MemoryError, OSError) as error:
            raise explain_exhaustion(error, f"reading {member.id}") from error

    def read(
        self, entries: Iterable[SourceEntry]
    ) -> Iterator[tuple[SourceEntry, npt.NDArray[np.uint8] | Rejection]]:
        """Yield each entry with its pixels or its rejection.

        The bytes are checked against the index's hash, unless the file is unmodified. Only pixels that can't be
        decoded are a Rejection; bytes that can no longer be read are an error, because the index has read them.
        """
        for entry in entries:
            content = self._load_indexed(entry)
            try:
                image = decode(content, self.alpha)
            except ImageFault as fault:
                _require_indexed(entry, content)
                yield entry, Rejection(entry.id, "pack", fault.reason, fault.detail)
                continue
            except (MemoryError, OSError) as error:
                raise explain_exhaustion(error, f"decoding {entry.id}") from error
            height, width = image.shape[:2]
            if (height, width) == (entry.height, entry.width):
                yield entry, image
            else:
                detail = f"decodes to {width}x{height}; its header says {entry.width}x{entry.height}"
                yield entry, Rejection(entry.id, "pack", RejectionReason.UNREADABLE, detail)

    def is_unmodified(self, entry: SourceEntry) -> bool:
        """Return whether the file's size and time are those in the index, so that its hash need not be checked."""
        return False

    def _load_indexed(self, entry: SourceEntry) -> bytes:
        """Return an entry's bytes and check that they are the indexed ones.

        Raises:
            UserError: the bytes differ or can't be read.
        """
        try:
            content = self.load(entry.locator)
        except ImageFault as fault:
            raise _changed(entry, f"can no longer be read: {fault.detail}") from None
        except (MemoryError, OSError) as error:
            raise explain_exhaustion(error, f"reading {entry.id}") from error
        if not self.is_unmodified(entry):
            _require_indexed(entry, content)
        return content


_PendingBatch = tuple[list[float], "Future[list[SourceEntry | Rejection]]"]


def _require_indexed(entry: SourceEntry, content: bytes) -> None:
    """Raise UserError if these are not the indexed bytes."""
    digest = sha256_bytes(content)
    if digest != entry.sha256:
        raise _changed(entry, f"is now another one (sha256 {digest[:12]}…)")


def _changed(entry: SourceEntry, problem: str) -> UserError:
    return UserError(
        f"The image {entry.id} ({entry.locator}) that was indexed with sha256 {entry.sha256[:12]}… {problem}",
        "Put the old file back, or run again to index the changed source anew; if it is not, `touch` the file",
    )


def _batches(members: Iterator[ListedMember]) -> Iterator[list[ListedMember]]:
    while batch := list(itertools.islice(members, _BATCH)):
        yield batch


def _finish_batch(
    batch: _PendingBatch, done: int, progress: Progress
) -> Generator[SourceEntry | Rejection, None, int]:
    """Yield the results of a batch and report progress; return the number of members done after it."""
    shares, future = batch
    for share, result in zip(shares, future.result(), strict=True):
        done += 1
        yield result
        progress(done, max(done, round(done / share)) if share else 0)
    return done


def _probe_member(member: Member | Rejection, content: bytes | Rejection) -> SourceEntry | Rejection:
    """Build the index entry of an image from its header and its bytes."""
    if isinstance(member, Rejection):
        return member
    if isinstance(content, Rejection):
        return content
    try:
        header = probe(content)
    except ImageFault as fault:
        return Rejection(member.id, "index", fault.reason, fault.detail)
    except (MemoryError, OSError) as error:
        raise explain_exhaustion(error, f"reading the header of {member.id}") from error
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
