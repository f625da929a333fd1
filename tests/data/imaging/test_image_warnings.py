"""What is wrong with an image that loses no pixel is a warning, never silence and never a rejection."""

import io
import struct
import zlib

import numpy as np
import pytest
from hostile_images import chunk, png
from images import textured
from PIL import Image, ImageCms

from data.imaging.decode import ImageFault, decode
from data.imaging.image_warnings import collect_warnings, warn
from data.imaging.original import decode_original
from data.records import WarningReason

PIXELS = textured(4, 48, 80)
RGB = Image.fromarray(PIXELS)
INK = Image.frombytes("CMYK", (80, 48), np.dstack([PIXELS, 255 - PIXELS[:, :, :1]]).tobytes())
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
READERS = (decode, lambda content: decode_original(content).colors)
PROFILE, EXTRA, LARGE = (
    WarningReason.UNREADABLE_PROFILE, WarningReason.EXTRA_BYTES, WarningReason.LARGE_METADATA,
)  # fmt: skip


def stored(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def read(content: bytes) -> tuple[np.ndarray, dict[WarningReason, str]]:
    """Return what both readers give, after checking that both warn of the same."""
    results = []
    for reader in READERS:
        with collect_warnings() as found:
            results.append((reader(content), found))
    assert set(results[0][1]) == set(results[1][1])
    return results[0]


def jpeg(mode: str = "RGB", **options) -> bytes:
    return stored(INK if mode == "CMYK" else RGB.convert(mode), "JPEG", quality=90, **options)


def with_part(content: bytes, number: int, count: int, part: bytes) -> bytes:
    """Return a JPEG with one part of a color profile."""
    part = b"ICC_PROFILE\0" + bytes([number, count]) + part
    return content[:2] + b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part + content[2:]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_profile_that_lacks_parts_or_is_rubbish_is_a_warning(mode):
    content = jpeg(mode)
    plain, none = read(content)
    assert none == {}
    for damaged in (
        with_part(content, 2, 3, SRGB[:300]), with_part(content, 1, 2, SRGB), jpeg(mode, icc_profile=b"no" * 99),
        jpeg(mode, icc_profile=SRGB[:200]),
    ):  # fmt: skip
        pixels, found = read(damaged)
        assert set(found) == {PROFILE} and "count as sRGB" in found[PROFILE]
        np.testing.assert_array_equal(pixels, plain)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_of_rubbish_is_a_warning_in_other_formats(format, mode):
    options = {"lossless": True} if format == "WEBP" else {}
    content = stored(RGB.convert(mode), format, icc_profile=b"rubbish" * 50, **options)
    pixels, found = read(content)
    assert set(found) == {PROFILE}
    np.testing.assert_array_equal(pixels, PIXELS)


@pytest.mark.parametrize(
    "part",
    [
        b"k\0\0" + b"\x78\x9c" + b"\xff" * 50, b"k\0\1" + b"\xff" * 50, b"k\0\0", b"k\0", b"k", b"", b"k" * 100,
    ],
    ids=["damaged", "method", "empty", "method missing", "name only", "nothing", "no name"],
)  # fmt: skip
def test_a_damaged_profile_chunk_of_a_png_is_a_warning(part):
    lines = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    pixels, found = read(png(80, 48, 8, 2, lines, chunk(b"iCCP", part)))
    assert set(found) == {PROFILE}
    np.testing.assert_array_equal(pixels, PIXELS)


def test_a_profile_for_other_colors_is_a_warning_and_says_for_which():
    _, found = read(stored(RGB.convert("L"), "PNG", icc_profile=SRGB))
    assert "the profile is for RGB, the pixels are GRAY" in found[PROFILE]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_a_sound_profile_or_none_is_no_warning(mode, format):
    image = RGB.quantize(64) if mode == "P" else RGB.convert(mode)
    assert read(stored(image, format))[1] == {}
    if mode != "L":
        assert read(stored(image, format, icc_profile=SRGB))[1] == {}


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 5}], ids=str)
@pytest.mark.parametrize(
    "extra", [bytes(64), b"\xaa\x55" * 700, b"written by a camera", b"\xff\0" * 20], ids=len
)
def test_bytes_before_the_end_of_a_jpeg_are_a_warning(mode, options, extra):
    content = jpeg(mode, **options)
    pixels, found = read(content[:-2] + extra + content[-2:] + b"behind the end")
    assert set(found) == {EXTRA}
    np.testing.assert_array_equal(pixels, read(content)[0])


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_coded_pixels_left_before_the_end_of_a_jpeg_are_damage(mode):
    """As where damage puts the decoder out of step: it is done before the data is."""
    content = jpeg(mode)
    size = content.index(b"\xff\xc0") + 5
    lower = content[:size] + struct.pack(">H", 32) + content[size + 2 :]
    with pytest.raises(ImageFault, match="extraneous bytes"):
        decode(lower)


def test_both_warnings_of_one_image_are_given():
    content = with_part(jpeg(), 2, 3, SRGB[:300])
    assert set(read(content[:-2] + bytes(64) + content[-2:])[1]) == {PROFILE, EXTRA}


@pytest.mark.parametrize(
    "part",
    [
        chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"k\0\0" + zlib.compress(SRGB + bytes(2_000_000))),
    ],
    ids=["text", "profile"],
)
def test_texts_and_profiles_of_a_png_of_more_than_a_megabyte_are_a_warning(part):
    lines = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    pixels, found = read(png(80, 48, 8, 2, lines, part))
    assert set(found) == {LARGE}
    assert np.abs(pixels.astype(int) - PIXELS).max() <= 1


def test_warnings_go_to_the_innermost_collector_and_to_none_where_none_is():
    warn(EXTRA, "lost")
    with collect_warnings() as outer:
        warn(EXTRA, "first")
        with collect_warnings() as inner:
            warn(PROFILE, "inner")
        warn(EXTRA, "second")
    assert (outer, inner) == ({EXTRA: "first"}, {PROFILE: "inner"})
