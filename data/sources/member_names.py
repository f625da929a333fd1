"""Names of archive members and files: make them printable and unique, and reject names that lead outside.

No name becomes a path on this machine. But ids are passed on to programs that may make paths of them.
"""

from data.imaging.decode import SUFFIXES
from data.records import Rejection, RejectionReason
from data.sources.base import Member


def decode_name(name: bytes) -> str:
    """Decode a stored name from UTF-8, with escapes for all that is not printable UTF-8."""
    return escape_name(name.decode("utf-8", "surrogateescape"))


def escape_name(name: str) -> str:
    r"""Replace each character that is not printable or not UTF-8 by \xNN or \uNNNN."""
    if name.isprintable():
        return name
    return "".join(one if one.isprintable() else _escape(one) for one in name)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape represents it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def leads_outside(name: str) -> bool:
    """Return whether a name, used as a path, would lead out of the folder it is joined to."""
    parts = name.replace("\\", "/").split("/")
    return not parts[0] or parts[0].endswith(":") or ".." in parts


class UniqueIds:
    """Assigns each member of an archive an id: prefix and name, with "#2", "#3" … for a repeated name."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._counts: dict[str, int] = {}

    def assign(self, name: str) -> str:
        """Return the id of the next member with this name."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return f"{self.prefix}{name}" if count == 1 else f"{self.prefix}{name}#{count}"


def member_or_rejection(id: str, name: str, locator: str, size: int) -> Member | Rejection:
    """Return a Member if the name has an image's suffix and does not lead outside, else a Rejection.

    Args:
        id: id of the member.
        name: its path in the archive.
        locator: where to find it again.
        size: in bytes.
    """
    if leads_outside(name):
        return Rejection(id, "index", RejectionReason.UNSAFE_NAME, "the name leads out of the archive")
    if not name.lower().endswith(SUFFIXES):
        return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, f"none of {', '.join(SUFFIXES)}")
    return Member(id, locator, size)
