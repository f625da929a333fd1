"""Request parts of a file from one HTTP server, and interpret its replies.

Every fault becomes one of four exceptions, which differ in what can be done about them. Knows nothing of local files.
"""

import base64
import contextlib
import dataclasses
import http.client
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from data.redacted_urls import identify_url, redact
from pipeline.download.journal import Range
from pipeline.download.proxies import find_proxy_fault

_RETRY_CODES = (408, 425, 429)
"""HTTP codes below 500 after which a retry makes sense."""


class Refused(Exception):
    """This mirror will not serve the file, however often it is asked."""


class Interrupted(Exception):
    """The connection ended early. A retry may continue from there.

    Args:
        reason: what happened.
        retry_after_s: seconds to wait, if the server says so.
    """

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Changed(Exception):
    """The file on the server is no longer the one whose download began."""


class NoRanges(Exception):
    """The server sends the whole file, whatever range is requested."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the headers of a reply say about its body."""

    start: int
    """Position of the body's first byte in the file."""
    end: int | None
    """Position after its last byte; None if the server does not say."""
    ranged: bool
    """Whether the body is the requested part; otherwise it is the whole file."""
    about: dict[str, Any]
    """Description of the file, as the journal keeps it: url, total, etag, modified."""
    fault: str = ""
    """What the headers hold against the body. They may be wrong: the body's first bytes decide."""


class Mirror:
    """One URL, requested through the proxies in the environment.

    Args:
        url: http or https.
        timeout_s: a connection that is silent for this long counts as broken.
        asks_version: whether to ask for parts of the same version only. Without it, a server that names another
            version sends its part all the same.
    """

    def __init__(self, url: str, timeout_s: float, asks_version: bool = True) -> None:
        self.url, self.timeout_s, self.asks_version = url, timeout_s, asks_version
        self.identity = identify_url(url)
        """The URL as the journal keeps it, without credentials."""
        self._opener = urllib.request.build_opener()

    @contextlib.contextmanager
    def request(
        self, part: Range | None, about: dict[str, Any]
    ) -> Iterator[tuple[http.client.HTTPResponse, Answer]]:
        """Request a part, or the whole file for None. Errors while the body is read are converted too.

        Args:
            part: the requested part.
            about: description of the file from an earlier answer; if the file has changed, no part of it is sent.

        Raises:
            Refused, Interrupted, Changed, NoRanges: depending on what can be done about the fault.
        """
        try:
            with self._opener.open(self._build_request(part, about), timeout=self.timeout_s) as reply:
                yield reply, _parse_reply(self.identity, reply, part)
        except urllib.error.HTTPError as error:
            status = redact(f"HTTP {error.code} {error.reason}")
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise (Changed if about else NoRanges if part else Refused)(status) from None
            if error.code in _RETRY_CODES or error.code >= 500:
                raise Interrupted(status, _parse_number(error.headers.get("Retry-After"))) from None
            raise Refused(status) from None
        except (http.client.InvalidURL, UnicodeError):
            # Its text may have a password in it.
            raise Refused("it, or what it redirects to, is no valid URL") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            text = redact(f"{type(error).__name__}: {reason}")
            raise (Refused(text) if _is_final(reason) else Interrupted(text)) from None

    def _build_request(self, part: Range | None, about: dict[str, Any]) -> urllib.request.Request:
        """Build a request; user and password of the URL go only to its own host, not to where it redirects."""
        fault = find_proxy_fault(self.url)
        if fault:
            raise Refused(fault)
        headers = {"User-Agent": "super-resolution-factory", "Accept-Encoding": "identity"}
        if part is not None:
            headers["Range"] = f"bytes={part[0]}-{part[1] - 1}"
            validator = _choose_validator(about)
            if validator and self.asks_version:
                headers["If-Range"] = validator
        parts = urllib.parse.urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        request = urllib.request.Request(parts._replace(netloc=host).geturl(), headers=headers)
        if user:
            token = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        return request


def _is_final(reason: object) -> bool:
    """Return whether a connection fails in the same way each time: wrong certificate, refusing or unknown proxy."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return True
    tunnel = re.match(r"Tunnel connection failed: (4\d\d)", str(reason))
    return str(reason).startswith("unknown url type") or bool(tunnel and int(tunnel[1]) not in _RETRY_CODES)


def _parse_reply(url: str, reply: http.client.HTTPResponse, part: Range | None) -> Answer:
    """Parse the headers of a reply, and refuse those that contradict the request."""
    end: int | None
    ranged = reply.status == http.client.PARTIAL_CONTENT
    if ranged:
        start, end, total = _parse_content_range(reply)
        if part is None or start != part[0] or not start < end <= part[1] or 0 < total < end:
            requested = f"bytes {part[0]} to {part[1] - 1}" if part else "the whole file"
            raise Refused(f"Content-Range {reply.headers['Content-Range']!r} when {requested} was requested")
        if not total:
            raise NoRanges("the server does not say how large the file is")
    else:
        total = _parse_number(reply.headers.get("Content-Length"))
        start, end = 0, total or None
    etag, modified = reply.headers.get("ETag") or "", reply.headers.get("Last-Modified") or ""
    about = {"url": url, "total": total, "etag": etag, "modified": modified}
    return Answer(start, end, ranged, about, _find_header_fault(reply))


def _find_header_fault(reply: http.client.HTTPResponse) -> str:
    encoding = reply.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        return f"Content-Encoding {encoding}"
    return "an HTML page" if reply.headers.get_content_type() == "text/html" else ""


def read_block(reply: http.client.HTTPResponse, size: int) -> tuple[bytes, Exception | None]:
    """Read up to `size` bytes of the body; return them, and the fault that broke the connection, or None."""
    block = bytearray()
    try:
        while len(block) < size and (some := reply.read1(size - len(block))):
            block += some
    except (OSError, http.client.HTTPException) as fault:
        return bytes(block), fault
    return bytes(block), None


def describe_change(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return how two descriptions of a file differ, as text; empty if they can be of the same file."""
    for name in ("total", "etag", "modified"):
        # A server that compresses some replies weakens the ETag of these: W/"1" is the version of "1".
        pair = {str(about[name]).removeprefix("W/") for about in (before, now)}
        if before[name] and now[name] and len(pair) > 1:
            return f"{name} {before[name]}, then {now[name]}"
    return ""


def _choose_validator(about: dict[str, Any]) -> str:
    """Return a validator for If-Range: an ETag unless it is weak, else the date."""
    etag = str(about.get("etag", ""))
    return etag if etag and not etag.startswith("W/") else str(about.get("modified", ""))


def _parse_content_range(reply: http.client.HTTPResponse) -> tuple[int, int, int]:
    """Return first byte, byte after the last, and size of the whole file (0: unknown)."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", reply.headers.get("Content-Range", ""))
    if not found:
        raise Refused(f"Content-Range {reply.headers.get('Content-Range')!r}")
    start, last, total = found.groups()
    return int(start), int(last) + 1, 0 if total == "*" else int(total)


def _parse_number(header: str | None) -> int:
    return int(header) if header and header.strip().isdecimal() else 0
