"""Names of archive members and files: make them printable and unique, and reject names that lead outside.

No name becomes a path on this machine. But ids are passed on to programs that may make paths of them.
"""

import re

from data.catalog.spec import name_of_split_zip
from data.file_names import escape_name
from data.imaging.decode import SUFFIXES
from data.records import Rejection, RejectionReason
from data.sources.base import Member

_BACKSLASH = re.compile(r"\\(?!x[0-9a-f]{2}|u[0-9a-f]{4})")
UNREAD_ARCHIVE = "an archive inside an archive, which is not read: unpack it and pack its files anew"
ARCHIVE_IN_FOLDER = (
    "an archive, which is not read as a part of a folder: unpack it, or name it alone as the dataset"
)
ARCHIVES_LEFT_OUT = (UNREAD_ARCHIVE, ARCHIVE_IN_FOLDER)
"""Details of rejections that may each stand for many images."""
_ARCHIVE_SUFFIXES = (
    *(".tar", ".zip", ".zip.001", ".tgz", ".tbz2", ".txz", ".tzst", ".7z", ".rar"),
    *(f".tar.{program}" for program in ("gz", "bz2", "xz", "zst", "lz4", "lzma", "lz", "z")),
)


def clean_name(name: bytes) -> str:
    """Decode a path in an archive from UTF-8, normalize it, and escape all that is not printable UTF-8."""
    return escape_name(normalize_path(name.decode("utf-8", "surrogateescape")))


def normalize_path(path: str) -> str:
    r"""Write a path in an archive as the code expects it: "a/b.png" for `a\b.png`, "./a//b.png" or "a/./b.png".

    Programs on Windows store backslashes. What leads outside, as "/" at the start and "..", stays visible.
    """
    path = path.replace("\\", "/")
    if "//" not in path and "./" not in path:
        return path
    is_absolute = path.startswith("/")
    parts = [part for part in path.split("/")[:-1] if part not in ("", ".")]
    return "/" * is_absolute + "/".join((*parts, path.rpartition("/")[2]))


def is_image_name(name: str) -> bool:
    """Return whether a name has an image's suffix."""
    return name.lower().endswith(SUFFIXES)


def leads_outside(name: str) -> bool:
    r"""Return whether a name, used as a path, would lead out of the folder it is joined to.

    A backslash divides it too, except in what `escape_name` writes: \xe9.png is no path.
    """
    parts = _BACKSLASH.sub("/", name).split("/")
    return not parts[0] or parts[0].endswith(":") or ".." in parts


class UniqueIds:
    """Assigns each member of an archive an id: prefix and name, with "#2", "#3" … for a repeated name."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._counts: dict[str, int] = {}

    def assign(self, name: str) -> str:
        """Return the id of the next member with this name. No two are equal, even if a name itself ends in "#2"."""
        unique = name
        count = self._counts.get(name, 0)
        while unique in self._counts:
            count += 1
            unique = f"{name}#{count}"
        self._counts[unique] = 1
        self._counts[name] = max(count, 1)
        return f"{self.prefix}{unique}"


def unread_archive(name: str) -> str | None:
    """Say what a file inside an archive is if its name is that of an archive, else return None."""
    is_archive = name.lower().endswith(_ARCHIVE_SUFFIXES) or name_of_split_zip(name)
    return UNREAD_ARCHIVE if is_archive else None


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
    if is_image_name(name):
        return Member(id, locator, size)
    archive = unread_archive(name)
    if archive:
        return Rejection(id, "index", RejectionReason.UNSUPPORTED, archive)
    return Rejection(id, "index", RejectionReason.NOT_AN_IMAGE, f"none of {', '.join(SUFFIXES)}")
