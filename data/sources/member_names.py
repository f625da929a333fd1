"""Names of members of archives and of files: made readable, kept unique, and refused where they lead outside.

No name here ever becomes a path of this machine; but ids do travel on, to people who may make paths of them.
"""

from data.imaging.decode import SUFFIXES
from data.records import Reason, Rejection
from data.sources.base import Member


def decoded(name: bytes) -> str:
    """Return a stored name as text that any file and terminal takes: UTF-8, with escapes for all else."""
    return readable(name.decode("utf-8", "surrogateescape"))


def readable(name: str) -> str:
    r"""Return a name with what is not printable or not UTF-8 written as \xNN, \uNNNN."""
    if name.isprintable():
        return name
    return "".join(one if one.isprintable() else _escaped(one) for one in name)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def leads_outside(name: str) -> bool:
    """Return whether a name, made a path, would lead out of the folder that it is put into."""
    parts = name.replace("\\", "/").split("/")
    return not parts[0] or parts[0].endswith(":") or ".." in parts


class Ids:
    """Gives every member of one archive an id of its own: the second of one name gets "#2" at its end."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self._seen = prefix, {}

    def of(self, name: str) -> str:
        """Return the id of the next member of this name."""
        count = self._seen[name] = self._seen.get(name, 0) + 1
        return f"{self.prefix}{name}" if count == 1 else f"{self.prefix}{name}#{count}"


def sifted(id: str, name: str, locator: str, size: int) -> Member | Rejection:
    """Return a file as a member, if its name says that it may be an image and stays inside."""
    if leads_outside(name):
        return Rejection(id, "index", Reason.UNSAFE_NAME, "the name leads out of the archive")
    if not name.lower().endswith(SUFFIXES):
        return Rejection(id, "index", Reason.NOT_AN_IMAGE, f"none of {', '.join(SUFFIXES)}")
    return Member(id, locator, size)
