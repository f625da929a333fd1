"""Say what a file is that has an image's suffix, but not an image's content.

Such a file is damage, not "something else": its name says that it is an image, and a dataset without it is incomplete.
"""

from data.foreign_kinds import FIRST_BYTES, foreign_kind
from data.records import RejectionReason

_BEGINNING_BYTES = 1024
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer instead of the image; run `git lfs pull`",
    b"/annex/objects/": "a git-annex pointer instead of the image; run `git annex get`",
}
"""What stands in a repository for a large file that has not been fetched."""
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")
_READ_FORMATS = (
    (0, b"\x89PNG\r\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBPVP8", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
)
"""Position, signature and name of formats that are read. BMP is missing: "BM" may begin a text, too."""
_OTHER_FORMATS = (
    (0, b"GIF8", "GIF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"qoif", "QOI"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    *((4, b"ftyp" + brand, "AVIF") for brand in (b"avif", b"avis")),
    *((4, b"ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")),
    *((4, b"ftyp" + brand, "HEIF") for brand in (b"mif1", b"msf1")),
)
"""Position, signature and name of formats that are not read as training images."""
_WEAKLY_MARKED = ((0, b"\xff\x0a", "JPEG XL"), (0, b"\0\0\1\0", "icon"), (0, b"%PDF-", "PDF"))
"""The same for signatures that other files have too, or of documents."""
_OTHER_NAMES = (
    "gif apng heic heif hif avif jp2 j2k jpf jpx j2c jxl jfif jpe jif ppm pgm pbm pnm tga qoi dds pcx ico exr hdr "
    "psd svg dng cr2 cr3 nef arw orf rw2 raf"
)
OTHER_SUFFIXES = frozenset(f".{name}" for name in _OTHER_NAMES.split())
"""File name suffixes of image formats that are not read, in lower case."""


def image_format(content: bytes) -> str:
    """Return the format of an image, say "HEIC", whether it is read or not; empty for everything else.

    Args:
        content: the file, or its first 16 bytes.
    """
    formats = (*_READ_FORMATS, *_OTHER_FORMATS)
    return next((name for at, signature, name in formats if content.startswith(signature, at)), "")


def describe_foreign_content(content: bytes) -> tuple[RejectionReason, str]:
    """Return the reason and the detail of a rejection for a file whose content is not an image that is read.

    Args:
        content: the whole file.

    Returns:
        UNSUPPORTED for an image of another format, UNREADABLE for everything else; and what the content is.

    Example:
        >>> describe_foreign_content(b"")
        (<RejectionReason.UNREADABLE: 'unreadable'>, 'empty: 0 bytes')
    """
    for position, signature, name in (*_OTHER_FORMATS, *_WEAKLY_MARKED):
        if content.startswith(signature, position):
            return RejectionReason.UNSUPPORTED, f"its content is {name}, which is not read; convert it"
    if b"<svg" in content[:_BEGINNING_BYTES]:
        return RejectionReason.UNSUPPORTED, "its content is SVG, which is not read; convert it"
    return RejectionReason.UNREADABLE, _describe_damage(content)


def _describe_damage(content: bytes) -> str:
    """Return what stands in the place of an image."""
    if not content:
        return "empty: 0 bytes"
    if not content.strip(b"\0"):
        return f"filled with zeros: {len(content)} bytes, as after a power cut"
    beginning = content[:_BEGINNING_BYTES]
    if len(content) > _BEGINNING_BYTES and not beginning.strip(b"\0"):
        return f"begins with zeros: at least {_BEGINNING_BYTES} of {len(content)} bytes"
    for start, what in _POINTERS.items():
        if content.startswith(start):
            return what
    if content.startswith(b"\0\5\x16\7"):
        return "an AppleDouble file: what macOS keeps about an image, not the image itself"
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_HTML) or (text.startswith((b"<?xml", b"<!--")) and b"<html" in text):
        return "an HTML page, probably the error message of a web server; download the image again"
    if text.startswith(b"<?xml"):
        return "an XML document, probably the error message of a server; download the image again"
    if text.startswith((b"{", b"[")) and text.isascii():
        return "JSON text, probably the error message of a server; download the image again"
    kind = foreign_kind(content[:FIRST_BYTES])
    return f"its content is {kind}; unpack it" if kind else "no header of an image format that is read"
