"""Say what a file is that has an image's suffix, but not an image's content.

Such a file is damage, not "something else": its name says that it is an image, and a dataset without it is incomplete.
"""

from data.records import RejectionReason

_BEGINNING_BYTES = 1024
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer instead of the image; run `git lfs pull`",
    b"/annex/objects/": "a git-annex pointer instead of the image; run `git annex get`",
}
"""What stands in a repository for a large file that has not been fetched."""
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body")
_OTHER_FORMATS = (
    (0, b"GIF8", "GIF"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"%PDF-", "PDF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
)
"""Position, signature and name of formats that are not read."""
_OTHER_NAMES = "gif heic heif avif jp2 j2k jxl jfif jpe ppm pgm pbm pnm tga exr hdr psd dng cr2 nef arw"
OTHER_SUFFIXES = frozenset(f".{name}" for name in _OTHER_NAMES.split())
"""File name suffixes of image formats that are not read, in lower case."""


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
    for position, signature, name in _OTHER_FORMATS:
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
    return "no header of an image format that is read"
