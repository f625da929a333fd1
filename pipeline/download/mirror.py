"""How one HTTP server is asked for a part of a file, and what its answer means.

Everything that goes wrong comes out as one of four exceptions, by what can be done about it. Knows nothing of files.
"""

import contextlib
import dataclasses
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from pipeline.download.journal import Range

_MAY_PASS = (408, 425, 429)
"""HTTP codes below 500 after which another try makes sense."""


class Refused(Exception):
    """This mirror will not give the file, however often it is asked."""


class Interrupted(Exception):
    """The connection ended early; another try may go on from there."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Changed(Exception):
    """What the server has now is not what was begun with."""


class NoRanges(Exception):
    """The server sends the whole file whatever range is asked for."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the headers of a reply say of its body."""

    start: int
    """Place of the body's first byte in the file."""
    end: int | None
    """Place behind its last byte; None where the server does not say."""
    ranged: bool
    """Whether the body is the part that was asked for; otherwise it is the whole file."""
    about: dict[str, Any]
    """What the file is, as a journal keeps it: url, total, etag, modified."""


class Mirror:
    """A URL, asked through the proxies that the environment names.

    Args:
        url: http or https.
        timeout_s: a connection that is silent for so long counts as broken.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url, self.timeout_s = url, timeout_s
        self._opener = urllib.request.build_opener()

    @contextlib.contextmanager
    def ask(
        self, part: Range | None, about: dict[str, Any]
    ) -> Iterator[tuple[http.client.HTTPResponse, Answer]]:
        """Ask for a part, or for the whole file with None; an error while the body is read is explained too.

        Args:
            part: what is wanted.
            about: what an earlier answer said of the file; a changed file is then not sent in part.

        Raises:
            Refused, Interrupted, Changed, NoRanges: what can be done about it.
        """
        headers = {"User-Agent": "super-resolution-factory", "Accept-Encoding": "identity"}
        if part is not None:
            headers["Range"] = f"bytes={part[0]}-{part[1] - 1}"
            validator = _strong_validator(about)
            if validator:
                headers["If-Range"] = validator
        request = urllib.request.Request(self.url, headers=headers)
        try:
            with self._opener.open(request, timeout=self.timeout_s) as reply:
                yield reply, _understand(self.url, reply, part)
        except urllib.error.HTTPError as error:
            said = f"HTTP {error.code} {error.reason}"
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise (Changed if about else NoRanges if part else Refused)(said) from None
            if error.code in _MAY_PASS or error.code >= 500:
                raise Interrupted(said, _number(error.headers.get("Retry-After"))) from None
            raise Refused(said) from None
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(f"{type(error).__name__}: {getattr(error, 'reason', error)}") from None


def _understand(url: str, reply: http.client.HTTPResponse, part: Range | None) -> Answer:
    """Read a reply's headers, and refuse those that contradict what was asked for."""
    if reply.headers.get_content_type() == "text/html":
        raise Refused("an HTML page in place of the file")
    if reply.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(f"Content-Encoding {reply.headers['Content-Encoding']}")
    ranged = reply.status == http.client.PARTIAL_CONTENT
    if ranged:
        start, end, total = _content_range(reply)
        if part is None or start != part[0] or not start < end <= part[1] or 0 < total < end:
            asked = f"bytes {part[0]} to {part[1] - 1}" if part else "the whole"
            raise Refused(f"Content-Range {reply.headers['Content-Range']!r} where {asked} was asked for")
        if not total:
            raise NoRanges("it does not say how large the file is")
    else:
        total = _number(reply.headers.get("Content-Length"))
        start, end = 0, total or None
    etag, modified = reply.headers.get("ETag") or "", reply.headers.get("Last-Modified") or ""
    return Answer(start, end, ranged, {"url": url, "total": total, "etag": etag, "modified": modified})


def read_block(reply: http.client.HTTPResponse, size: int) -> tuple[bytes, Exception | None]:
    """Read until `size` bytes are there or the body ends; return them, and what broke the connection if it broke."""
    block = bytearray()
    try:
        while len(block) < size and (some := reply.read1(size - len(block))):
            block += some
    except (OSError, http.client.HTTPException) as fault:
        return bytes(block), fault
    return bytes(block), None


def difference(begun: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in which respect an answer speaks of another file than the one that was begun; empty if in none."""
    for name in ("total", "etag", "modified"):
        if begun[name] and now[name] and begun[name] != now[name]:
            return f"{name} {begun[name]}, then {now[name]}"
    return ""


def _strong_validator(about: dict[str, Any]) -> str:
    """Return what If-Range may carry: an ETag that is not weak, else the date."""
    etag = about.get("etag", "")
    return etag if etag and not etag.startswith("W/") else about.get("modified", "")


def _content_range(reply: http.client.HTTPResponse) -> tuple[int, int, int]:
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", reply.headers.get("Content-Range", ""))
    if not found:
        raise Refused(f"Content-Range {reply.headers.get('Content-Range')!r}")
    start, last, total = found.groups()
    return int(start), int(last) + 1, 0 if total == "*" else int(total)


def _number(header: str | None) -> int:
    return int(header) if header and header.strip().isdecimal() else 0
