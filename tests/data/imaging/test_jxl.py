"""The header of a JPEG XL file, held against its own encoder, and bit by bit against the standard."""

import io

import numpy as np
import pillow_jxl  # noqa: F401  # registers the format
import pytest
from PIL import Image

from data.imaging.jxl import read_jxl_header


@pytest.mark.parametrize("use_container", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("height", "width"), [(8, 8), (1, 3), (40, 60), (256, 256), (513, 700), (9, 3000), (300, 400)]
)
def test_size_and_depth(height, width, dtype, use_container):
    file = io.BytesIO()
    pixels = np.zeros((height, width), dtype)
    Image.fromarray(pixels).save(file, "JXL", lossless=True, effort=1, use_container=use_container)
    header = read_jxl_header(file.getvalue())
    assert (header.width, header.height, header.bits) == (width, height, 8 * pixels.itemsize)
    assert not header.is_float and not header.is_animation


def codestream(*fields: tuple[int, int]) -> bytes:
    """Return a codestream of fields, each a number and how many bits it has, padded with zeros."""
    number, at = 0, 0
    for value, bits in fields:
        number |= value << at
        at += bits
    return b"\xff\x0a" + number.to_bytes(64, "little")


SIZE_8X8 = [(1, 1), (0, 5), (1, 3)]


def test_an_animation_is_known_with_and_without_a_preview():
    plain = codestream(*SIZE_8X8, (0, 1), (1, 1), (0, 3), (0, 1), (0, 1), (1, 1))
    assert read_jxl_header(plain).is_animation
    preview = [(1, 1), (1, 1), (0, 2), (1, 3)]
    assert read_jxl_header(
        codestream(*SIZE_8X8, (0, 1), (1, 1), (5, 3), (0, 1), *preview, (1, 1))
    ).is_animation
    still = codestream(*SIZE_8X8, (0, 1), (1, 1), (5, 3), (1, 1), *SIZE_8X8, (0, 1), (0, 1), (1, 1), (0, 2))
    header = read_jxl_header(still)
    assert (header.is_animation, header.is_float, header.bits) == (False, True, 32)


@pytest.mark.parametrize("content", [b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a\x02"])
def test_a_header_that_is_cut_off_is_an_error(content):
    with pytest.raises(ValueError, match="header"):
        read_jxl_header(content)
