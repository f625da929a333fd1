"""Hide passwords and tokens of URLs wherever URLs are shown or stored."""

import hashlib
import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_HIDDEN = "***"


def redact(text: str) -> str:
    """Return a text with the credentials of all URLs in it hidden: user and password, and the values of queries.

    Any value is hidden, since a signature or a token may have any name.

    Example:
        >>> redact("https://me:secret@host/a.zip?X-Amz-Signature=1f2e&part=1 is gone")
        'https://***@host/a.zip?X-Amz-Signature=***&part=*** is gone'
    """
    return _URL.sub(lambda found: _redact_url(found[0]), text)


def _redact_url(url: str) -> str:
    place, mark, rest = re.split(r"([?#]|$)", url, maxsplit=1)
    place = re.sub(r"(?<=://)[^/]*@", f"{_HIDDEN}@", place)
    place = re.sub(r"(;[^/;=]*=)[^/;]*", rf"\1{_HIDDEN}", place)
    return place + mark + re.sub(r"[^?#&;]+", _hide_value, rest)


def _hide_value(found: re.Match[str]) -> str:
    name, equals, _ = found[0].partition("=")
    return f"{name}={_HIDDEN}" if equals else _HIDDEN


def identify_url(url: str) -> str:
    """Return a text that is the same for the same URL only, and shows no credentials.

    User and password do not count, nor are they hashed: a short password could be guessed from its hash.
    """
    shown = redact(url)
    if shown == url:
        return url
    plain = re.sub(r"://[^/?#]*@", "://", url, count=1)
    return f"{shown} {hashlib.sha256(plain.encode()).hexdigest()[:16]}"
