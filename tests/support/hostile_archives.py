"""Hostile folders, tars and zips: the hostile images, and members that only such a source can contain."""

import io
import os
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
from hostile_images import Case, stored

from data.records import RejectionReason


def write_folder(root: Path, cases: list[Case]) -> None:
    """Write cases as files, with other files that only a folder can contain."""
    for case in cases:
        (root / case.name).write_bytes(case.content)
    (root / "link.png").symlink_to(root / "plain.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "lost.png").symlink_to(root / "nowhere.png")
    (root / "linked-folder").symlink_to(root.parent)
    os.mkfifo(root / "pipe.png")
    (root / ".hidden.png").write_bytes(cases[0].content)
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.png")).write_bytes(stored(cases[0].pixels[::-1], "PNG"))


FOLDER_EXTRAS = {
    "link.png": RejectionReason.DUPLICATE,
    "loop.png": RejectionReason.LINK,
    "lost.png": RejectionReason.UNREADABLE,
    "linked-folder": RejectionReason.LINK,
    "pipe.png": RejectionReason.LINK,
    ".hidden.png": RejectionReason.NOT_AN_IMAGE,
    "caf\\xe9.png": None,
}
"""Rejection reasons of the other files, by id; None for an image."""


def write_tar(path: Path, cases: list[Case]) -> None:
    """Write cases as a tar, with other members that only a tar can contain."""
    good = cases[0].pixels
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:

        def add(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, link
            tar.addfile(info, io.BytesIO(content))

        for case in cases:
            add(f"./{case.name}", case.content)
        evil = stored(good, "PNG", compress_level=8)
        for name in ("../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png"):
            add(name, evil)
        add("a/", kind=tarfile.DIRTYPE)
        add("symbolic.png", kind=tarfile.SYMTYPE, link="/etc/passwd")
        add("hard.png", kind=tarfile.LNKTYPE, link="plain.png")
        for name, kind in (
            ("tty.png", tarfile.CHRTYPE),
            ("disk.png", tarfile.BLKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            add(name, kind=kind)
        add("twice.png", stored(good[::-1], "PNG"))
        add("twice.png", stored(good[:, ::-1], "PNG", compress_level=4))
        add("caf\xe9.png", stored(np.rot90(good), "PNG", compress_level=1))
        add("line\nfeed.png", stored(np.rot90(good), "PNG", compress_level=2))
        add("long/" * 60 + "name.png", stored(np.rot90(good), "PNG", compress_level=3))
        inner = _inner_tar(stored(good[::-1, ::-1], "PNG"))
        add("inner.tar", inner)
        add("cut.tar", _inner_tar(stored(good[::-1, ::-1], "PNG", compress_level=4))[:-11_000])
        hole = inner.index(b"././@PaxHeader")
        add("hole.tar", inner[:hole] + bytes(512) + inner[hole + 512 :])
        more = _inner_tar(stored(good[:, ::-1], "PNG", compress_level=2))
        add("signature.tar", more + b"signature" * 60)
        for name, size in TAR_SIZES.items():
            add(name, with_size(inner, size))


def with_size(tar: bytes, size: bytes) -> bytes:
    """Return a tar with another size in its first header, and the matching checksum."""
    header = bytearray(tar[:512])
    header[124:136] = size.ljust(12, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + tar[512:]


TAR_SIZES = {
    "back-to-itself.tar": b"-0000001000",
    "before-the-file.tar": b"-7777777777",
    "signed.tar": b"+0000001000",
    "with-a-line.tar": b"0_000001000",
    "binary-negative.tar": b"\xff" * 11 + b"\0",
    "binary-enormous.tar": b"\x80" + b"\xff" * 11,
}
"""Invalid or impossible sizes, by the name of the inner tar whose first header has them."""


def _inner_tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, body in (
            ("../out.png", content),
            ("ün" * 60 + ".png", content),
            ("deeper.tar", bytes(1024)),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


TAR_EXTRAS: dict[str, RejectionReason | None] = {
    "../evil.png": RejectionReason.UNSAFE_NAME,
    "/evil.png": RejectionReason.UNSAFE_NAME,
    "a/../../evil.png": RejectionReason.UNSAFE_NAME,
    "../evil.png#2": RejectionReason.UNSAFE_NAME,
    "symbolic.png": RejectionReason.LINK,
    "hard.png": RejectionReason.LINK,
    "tty.png": RejectionReason.LINK,
    "disk.png": RejectionReason.LINK,
    "pipe.png": RejectionReason.LINK,
    "twice.png": None,
    "twice.png#2": None,
    "caf\\xe9.png": None,
    "line\\x0afeed.png": None,
    "long/" * 60 + "name.png": None,
    "inner.tar/../out.png": RejectionReason.UNSAFE_NAME,
    "inner.tar/" + "ün" * 60 + ".png": None,
    "inner.tar/deeper.tar": RejectionReason.UNSUPPORTED,
    "cut.tar/../out.png": RejectionReason.UNSAFE_NAME,
    "cut.tar": RejectionReason.UNREADABLE,
    "hole.tar/../out.png": RejectionReason.UNSAFE_NAME,
    "hole.tar": RejectionReason.UNREADABLE,
    "signature.tar/../out.png": RejectionReason.UNSAFE_NAME,
    "signature.tar/" + "ün" * 60 + ".png": None,
    "signature.tar/deeper.tar": RejectionReason.UNSUPPORTED,
    "signature.tar/(the end)": RejectionReason.NOT_AN_IMAGE,
    **dict.fromkeys(TAR_SIZES, RejectionReason.UNREADABLE),
}
"""Rejection reasons of the other members, by id; None for an image."""


def write_zip(path: Path, cases: list[Case]) -> None:
    """Write cases as a zip, with other members that only a zip can contain."""
    good = cases[0].pixels
    with zipfile.ZipFile(path, "w") as archive:
        for number, case in enumerate(cases):
            method = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.writestr(case.name, case.content, method)
        evil = stored(good, "PNG", compress_level=8)
        for name in ("../evil.png", "/evil.png", "a/../../evil.png", "..\\evil.png", "C:\\evil.png"):
            archive.writestr(name, evil)
        archive.writestr("a/", b"")
        link = zipfile.ZipInfo("symbolic.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, b"/etc/passwd")
        archive.writestr("bzip2.png", evil, zipfile.ZIP_BZIP2)
        archive.writestr("locked.png", stored(np.rot90(good), "PNG", compress_level=4))
        archive.writestr("wrong-crc.png", stored(np.rot90(good), "PNG", compress_level=5))
        archive.writestr("wrong-size.png", stored(np.rot90(good), "PNG", compress_level=6))
        archive.writestr("wrong-bits.png", stored(np.rot90(good), "BMP"), zipfile.ZIP_DEFLATED)
        archive.writestr("shared.png", stored(np.rot90(good), "PNG", compress_level=7))
        archive.writestr("caf??.png", stored(np.rot90(good), "PNG", compress_level=1))
        archive.writestr("utf8-??.png", stored(np.rot90(good), "PNG", compress_level=2))
        with archive.open("zip64.png", "w", force_zip64=True) as member:
            member.write(stored(good[:, ::-1], "PNG", compress_level=5))
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("zip64.png", stored(good[::-1], "PNG", compress_level=6))
    _damage_directory(path)


def _damage_directory(path: Path) -> None:
    """Damage entries as zipfile would not write them, in the central directory, which readers trust."""
    content = bytearray(path.read_bytes())

    def entry(name: bytes) -> int:
        return content.rindex(b"PK\1\2", 0, content.rindex(name))

    content[entry(b"locked.png") + 8] |= 1
    content[entry(b"wrong-crc.png") + 16] ^= 1
    content[entry(b"wrong-size.png") + 24] ^= 1
    place = entry(b"wrong-bits.png")
    offset = struct.unpack_from("<L", content, place + 42)[0]
    content[offset + 400 : offset + 420] = bytes(20)
    content[entry(b"shared.png") + 42 : entry(b"shared.png") + 46] = struct.pack("<L", offset + 10)
    for name, wrong in ((b"caf??.png", b"caf\x82\xff.png"), (b"utf8-??.png", b"utf8-\xe9\xff.png")):
        place = content.rindex(name)
        content[place : place + len(name)] = wrong
    content[entry(b"utf8-\xe9\xff.png") + 9] |= 8
    path.write_bytes(content)


ZIP_EXTRAS: dict[str, RejectionReason | None] = {
    "../evil.png": RejectionReason.UNSAFE_NAME,
    "/evil.png": RejectionReason.UNSAFE_NAME,
    "a/../../evil.png": RejectionReason.UNSAFE_NAME,
    "../evil.png#2": RejectionReason.UNSAFE_NAME,
    "C:/evil.png": RejectionReason.UNSAFE_NAME,
    "symbolic.png": RejectionReason.LINK,
    "bzip2.png": RejectionReason.UNSUPPORTED,
    "locked.png": RejectionReason.UNSUPPORTED,
    "wrong-crc.png": RejectionReason.UNREADABLE,
    "wrong-size.png": RejectionReason.UNREADABLE,
    "wrong-bits.png": RejectionReason.UNREADABLE,
    "shared.png": RejectionReason.UNREADABLE,
    "café\\xa0.png": None,
    "utf8-\\xe9\\xff.png": None,
    "zip64.png": None,
    "zip64.png#2": None,
}
"""Rejection reasons of the other members, by id; None for an image."""
