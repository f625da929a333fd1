import gzip
import io

import cv2
import pytest
from images import textured
from PIL import Image

from data.imaging.decode import ImageFault, decode, probe
from data.records import RejectionReason

PIXELS = Image.fromarray(textured(1, 40, 60))
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"4d" * 32)
S3_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
XHTML = b'<?xml version="1.0"?>\n<!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><title>404</title></html>'


def stored(format):
    buffer = io.BytesIO()
    PIXELS.save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty: 0 bytes"),
        (bytes(5000), "filled with zeros: 5000 bytes"),
        (bytes(4096) + cv2.imencode(".png", textured(1, 40, 60))[1].tobytes()[4096:], "begins with zeros"),
        (POINTER, "a Git LFS pointer.*`git lfs pull`"),
        (b"/annex/objects/SHA256E-s1234--00.png\n", "a git-annex pointer.*`git annex get`"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"\xef\xbb\xbf\r\n <HTML><body>Please log in</body>", "an HTML page"),
        (XHTML, "an HTML page"),
        (S3_ERROR, "an XML document"),
        (b'{"error": "rate limit exceeded"}', "JSON text"),
        (b"\0\5\x16\7" + bytes(80), "an AppleDouble file"),
        (gzip.compress(b"an image", mtime=0), "its content is a file compressed by gzip; unpack it"),
        (b"PK\3\4" + bytes(90), "its content is a zip"),
        (b"hello", "no header of an image format"),
    ],
)
def test_what_is_no_image_is_damage_and_named(content, words):
    for read in (probe, decode):
        with pytest.raises(ImageFault, match=words) as fault:
            read(content)
        assert fault.value.reason is RejectionReason.UNREADABLE


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (stored("GIF"), "GIF"),
        (stored("JPEG2000"), "JPEG 2000"),
        (stored("AVIF"), "AVIF"),
        (stored("PDF"), "PDF"),
        (stored("ICO"), "icon"),
        (stored("DDS"), "DDS"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_an_image_of_another_format_is_unsupported_and_named(content, name):
    with pytest.raises(ImageFault, match=f"content is {name}, which is not read") as fault:
        probe(content)
    assert fault.value.reason is RejectionReason.UNSUPPORTED
