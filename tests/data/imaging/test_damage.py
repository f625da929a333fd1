"""Damage that a decoder passes over is found; what costs no pixel costs no image."""

import base64
import io
import itertools
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from hostile_images import chunk, png
from images import textured
from PIL import Image, ImageCms

from data.imaging import jpeg
from data.imaging.decode import ImageFault, decode, probe
from data.imaging.original import decode_original
from data.records import RejectionReason

HEIGHT, WIDTH = 48, 80
PIXELS = textured(4, HEIGHT, WIDTH)
RGB = Image.fromarray(PIXELS)
INK = Image.frombytes("CMYK", (WIDTH, HEIGHT), np.dstack([PIXELS, 255 - PIXELS[:, :, :1]]).tobytes())
READERS = (decode, lambda content: decode_original(content).colors)


def stored(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def pngs() -> dict[str, bytes]:
    """Return an opaque PNG of each kind."""
    rgba = RGB.convert("RGBA")
    deep = np.dstack([PIXELS, np.full((HEIGHT, WIDTH), 255, np.uint8)]).astype(np.uint16) * 257
    return {
        "rgb": stored(RGB, "PNG"), "rgba": stored(rgba, "PNG"), "gray": stored(RGB.convert("L"), "PNG"),
        "gray-alpha": stored(rgba.convert("LA"), "PNG"), "palette": stored(RGB.quantize(64), "PNG"),
        "bits": stored(RGB.convert("1"), "PNG"), "deep-gray": cv2.imencode(".png", deep[:, :, 0])[1].tobytes(),
        "deep-rgb": cv2.imencode(".png", deep[:, :, :3])[1].tobytes(),
        "deep-rgba": cv2.imencode(".png", deep)[1].tobytes(),
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "content"), pngs().items(), ids=pngs())
def test_no_flipped_bit_of_a_png_changes_a_pixel(kind, content):
    places = np.random.default_rng(5).integers(0, len(content), 150)
    for reader in READERS:
        whole, accepted = reader(content), 0
        for place in places:
            damaged = bytearray(content)
            damaged[place] ^= 1 << (place % 8)
            try:
                assert np.array_equal(reader(bytes(damaged)), whole), place
                accepted += 1
            except ImageFault:
                pass
        assert accepted == 0 or kind in ("rgb", "deep-rgb")


JPEGS = [
    {"progressive": progressive, "restart_marker_blocks": restarts}
    for progressive in (False, True)
    for restarts in (0, 5)
]


def places_in_scans(content: bytes) -> list[int]:
    """Return every place within the data of a scan."""
    places = []
    for scan in re.finditer(rb"\xff\xda..", content, re.DOTALL):
        start = scan.end() - 2 + int.from_bytes(scan[0][2:], "big")
        end = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]").search(content, start).start()
        places += [place for place in range(start + 1, end - 2) if content[place - 1] != 0xFF]
    return places


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_a_jpeg_cut_in_a_scan_with_an_end_behind_is_refused(mode, options):
    image = INK if mode == "CMYK" else RGB.convert(mode)
    content = stored(image, "JPEG", quality=90, **options)
    by_pillow = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    places = places_in_scans(content)
    for reader in READERS:
        read = reader(content)
        np.testing.assert_array_equal(read if read.shape[2] == 3 else np.repeat(read, 3, axis=2), by_pillow)
        for place in places[:: len(places) // 60]:
            cut = content[:place] + b"\xff\xd9"
            with pytest.raises(ImageFault) as fault:
                reader(cut)
            assert fault.value.reason is RejectionReason.UNREADABLE


def starts_of_scans(content: bytes) -> list[int]:
    """Return where the tables and the header of each scan start."""
    ends = [0, *(found.end() for found in re.finditer(rb"\xff\xda", content))]
    return [
        content.index(b"\xff\xc4" if b"\xff\xc4" in content[start:end] else b"\xff\xda", start)
        for start, end in itertools.pairwise(ends)
    ]


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_a_progressive_jpeg_without_its_last_scans_is_refused(mode):
    content = stored(INK if mode == "CMYK" else RGB.convert(mode), "JPEG", quality=90, progressive=True)
    scans = starts_of_scans(content)
    assert len(scans) >= 6
    for reader in READERS:
        reader(content)
        for start in scans[1:]:
            with pytest.raises(ImageFault, match="before all its scans") as fault:
                reader(content[:start] + b"\xff\xd9")
            assert fault.value.reason is RejectionReason.UNREADABLE


def test_a_progressive_jpeg_that_lacks_a_scan_in_between_is_refused():
    content = stored(RGB, "JPEG", quality=90, progressive=True)
    headers = [one.start() for one in re.finditer(rb"\xff\xda", content)]
    for scan, following in itertools.pairwise(headers):
        tables = content.find(b"\xff\xc4", scan, following)
        end = following if tables < 0 else tables
        with pytest.raises(ImageFault, match="before all its scans|progression sequence"):
            decode(content[:scan] + content[end:])


def test_a_jpeg_with_a_scan_for_each_color_is_read_and_refused_without_the_last():
    """Join three gray JPEGs, made with the tables of one, as three components."""
    planes = [Image.fromarray(PIXELS[:, :, place]) for place in range(3)]
    grays = [stored(plane, "JPEG", quality=90) for plane in planes]
    frame_header = next(start for marker, start, _ in jpeg.segments(grays[0]) if marker == 0xC0)
    size = grays[0][frame_header + 5 : frame_header + 9]
    head = grays[0][:frame_header]
    head += b"\xff\xc0\x00\x11\x08" + size + b"\x03" + b"".join(bytes([name, 0x11, 0]) for name in (1, 2, 3))
    tables = b"".join(grays[0][start:end] for marker, start, end in jpeg.segments(grays[0]) if marker == 0xC4)
    scans = []
    for name, gray in enumerate(grays, 1):
        _, start, end = list(jpeg.segments(gray))[-1]
        scans.append(gray[start : start + 5] + bytes([name]) + gray[start + 6 : -2])
        assert end - start == 10
    content = head + tables + b"".join(scans) + b"\xff\xd9"
    for reader in READERS:
        expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        np.testing.assert_array_equal(reader(content), expected)
        with pytest.raises(ImageFault, match="before all its scans"):
            reader(head + tables + b"".join(scans[:2]) + b"\xff\xd9")


ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGB"
    "YUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/yQARCAAQ"
    "ABgDASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AOVq7noJwQCqYPeOJ5T6+qiYWKgL7+IimZFcmypFBXBUVB3oF6zgF/uUmZ"
    "okFw3+L1OXHU7BOP6g1LJ4c3+6kSsqAaDXB/BiDueZ22CI+BxGAj+ZYdaSC7TI5iCV9NmPs1VerrN1JXVNG/NGPOdvDSMTjytwDFufG6hmrLb0"
    "AQEQWfTA/9k="
)
"""24 x 16, as libjpeg writes it with arithmetic codes. It takes one cut off with an end behind without a word."""


def test_arithmetic_codes_are_refused_by_name():
    with pytest.raises(ImageFault, match="arithmetic codes") as fault:
        probe(ARITHMETIC)
    assert fault.value.reason is RejectionReason.UNSUPPORTED


def test_the_reason_for_damage_is_what_libjpeg_says():
    content = stored(RGB, "JPEG", quality=90)
    with pytest.raises(ImageFault, match="premature end of data segment"):
        decode(content[: len(content) * 3 // 4] + b"\xff\xd9")


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("quality", [60, 75, 90, 100])
def test_whole_jpegs_of_many_sizes_are_accepted(mode, quality):
    for size in ((7, 9), (8, 8), (16, 33), (64, 17), (1, 1)):
        content = stored(RGB.convert(mode).resize(size), "JPEG", quality=quality, optimize=True)
        for reader in READERS:
            assert reader(content).shape[:2] == size[::-1]
            assert reader(content + b"behind the end" * 9).shape[:2] == size[::-1]


def gray_profile(gamma: float) -> bytes:
    """Return an ICC profile for gray (version 2), with a tone curve that is a power."""
    curve = struct.pack(">4sLLHH", b"curv", 0, 1, round(gamma * 256), 0)
    white = struct.pack(">4sLlll", b"XYZ ", 0, 63190, 65536, 54061)
    text = struct.pack(">4sL4s", b"text", 0, b"CC0\0")
    tags, at, body = ((b"kTRC", curve), (b"wtpt", white), (b"cprt", text)), 128 + 4 + 3 * 12, b""
    table = struct.pack(">L", len(tags))
    for name, content in tags:
        table += struct.pack(">4sLL", name, at + len(body), len(content))
        body += content
    head = struct.pack(">L4sL4s4s4s12x4s4s28xlll", 0, b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp",
                       b"APPL", 63190, 65536, 54061).ljust(128, b"\0")  # fmt: skip
    whole = head + table + body
    return struct.pack(">L", len(whole)) + whole[4:]


def srgb_of_gamma(levels: np.ndarray, gamma: float) -> np.ndarray:
    linear = (levels / 255) ** gamma
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_a_gray_profile_is_applied(format):
    gray = RGB.convert("L")
    options = {"quality": 95} if format == "JPEG" else {}
    content = stored(gray, format, icc_profile=gray_profile(1.5), **options)
    plain = decode(stored(gray, format, **options))
    assert np.abs(decode(content) - srgb_of_gamma(plain, 1.5)).max() <= 1.5
    assert np.abs(decode(content).astype(int) - plain).max() > 20


def test_a_gray_profile_is_applied_to_gray_with_alpha_and_to_16_bits():
    expected = srgb_of_gamma(np.asarray(RGB.convert("L"))[:, :, None], 1.5)
    layered = stored(RGB.convert("L").convert("LA"), "PNG", icc_profile=gray_profile(1.5))
    deep = Image.fromarray(np.asarray(RGB.convert("L")).astype(np.uint16) * 257)
    for content in (layered, stored(deep, "PNG", icc_profile=gray_profile(1.5))):
        assert np.abs(decode(content) - expected).max() <= 1.5


def swapped_profile() -> bytes:
    """Return a profile that exchanges red and green."""
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return usual.replace(b"rXYZ", b"....", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"....", b"gXYZ", 1)


def test_the_profile_of_a_palette_is_applied_to_its_colors():
    palette = RGB.quantize(64)
    expected = np.asarray(palette.convert("RGB"))[:, :, [1, 0, 2]].astype(int)
    for image in (palette, palette.convert("RGB"), palette.convert("RGBA")):
        content = stored(image, "PNG", icc_profile=swapped_profile())
        assert np.abs(decode(content) - expected).max() <= 2


def test_a_profile_is_applied_to_every_way_of_storing_the_colors():
    """To YCbCr in a TIFF, to a palette with opaque transparency, to one bit, and to 16 bits."""
    ycbcr = stored(RGB.convert("YCbCr"), "TIFF", icc_profile=swapped_profile())
    assert np.abs(decode(ycbcr).astype(int) - PIXELS[:, :, [1, 0, 2]]).max() <= 4
    palette = RGB.quantize(64)
    content = stored(palette, "PNG", icc_profile=swapped_profile(), transparency=bytes([255] * 64))
    expected = np.asarray(palette.convert("RGB"))[:, :, [1, 0, 2]].astype(int)
    assert np.abs(decode(content) - expected).max() <= 2
    bits = decode(stored(RGB.convert("1"), "PNG", icc_profile=gray_profile(1.5)))
    assert set(np.unique(bits)) == {0, 255}
    deep = cv2.imencode(".png", PIXELS[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes()
    profile = chunk(b"iCCP", b"k\0\0" + zlib.compress(swapped_profile()))
    assert np.abs(decode(deep[:33] + profile + deep[33:]).astype(int) - PIXELS[:, :, [1, 0, 2]]).max() <= 2


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "LA", "RGBA"])
def test_a_profile_for_other_colors_or_of_rubbish_counts_as_srgb(mode):
    image = RGB.quantize(64) if mode == "P" else RGB.convert(mode)
    other = swapped_profile() if mode in ("L", "LA") else gray_profile(1.5)
    plain = decode(stored(image, "PNG"))
    for profile in (other, other[:200], b"rubbish" * 50):
        np.testing.assert_array_equal(decode(stored(image, "PNG", icc_profile=profile)), plain)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_whose_profile_lacks_parts_is_read_as_srgb(mode):
    image = RGB.convert(mode)
    content = stored(image, "JPEG", quality=90)
    part = b"ICC_PROFILE\0" + bytes([2, 3]) + swapped_profile()[:300]
    lacking = content[:2] + b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part + content[2:]
    rubbish = stored(image, "JPEG", quality=90, icc_profile=b"rubbish" * 50)
    for reader in READERS:
        for damaged in (lacking, rubbish):
            np.testing.assert_array_equal(reader(damaged), reader(content))


@pytest.mark.parametrize("part", [b"\xff", b"\xff\xd0", b"\xff\xe1\0\2"], ids=["fill", "bare", "empty"])
def test_endless_segments_of_a_jpeg_are_not_all_listed(part):
    content = b"\xff\xd8\xff" + part * 100_000
    assert len(list(jpeg.segments(content))) <= 10_000
    with pytest.raises(ImageFault):
        probe(content)


def test_fill_bytes_before_a_marker_are_skipped():
    content = stored(RGB.convert("L"), "JPEG", quality=90)
    filled = content[:2] + b"\xff" * 5 + content[2:]
    assert [one[0] for one in jpeg.segments(filled)] == [one[0] for one in jpeg.segments(content)]
    assert jpeg.frame(filled) == jpeg.frame(content) == (0xC0, 8)
    np.testing.assert_array_equal(decode(filled), decode(content))


LARGE = b"x" * 3_000_000


@pytest.mark.parametrize(
    "parts",
    [
        [chunk(b"zTXt", b"k\0\0" + zlib.compress(LARGE))],
        [chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(LARGE))],
        [chunk(b"tEXt", b"k%d\0" % number + LARGE[:900_000]) for number in range(80)],
        [chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(30_000_000)))],
    ],
    ids=["zTXt", "iTXt", "many", "iCCP"],
)
def test_texts_of_a_png_that_are_too_large_cost_no_image(parts):
    lines = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    rgba = b"".join(b"\0" + row.tobytes() for row in np.dstack([PIXELS, PIXELS[:, :, :1] | 255]))
    for content in (png(WIDTH, HEIGHT, 8, 2, lines, *parts), png(WIDTH, HEIGHT, 8, 6, rgba, *parts)):
        for reader in READERS:
            np.testing.assert_array_equal(reader(content), PIXELS)


def test_a_profile_of_more_than_a_megabyte_is_applied():
    profile = swapped_profile() + bytes(2_000_000)
    lines = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    content = png(WIDTH, HEIGHT, 8, 2, lines, chunk(b"iCCP", b"k\0\0" + zlib.compress(profile)))
    assert np.abs(decode(content).astype(int) - PIXELS[:, :, [1, 0, 2]]).max() <= 2
    assert decode_original(content).icc == profile


@pytest.mark.parametrize("name", [b"exif", b"APP1"])
@pytest.mark.parametrize("chunk_name", [b"tEXt", b"zTXt"])
def test_orientation_in_imagemagicks_raw_exif_text_is_applied(name, chunk_name):
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    digits = raw.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\n{name.decode()}\n{len(raw):8}\n{lines}\n".encode()
    text = b"\0" + zlib.compress(text) if chunk_name == b"zTXt" else text
    part = chunk(chunk_name, b"Raw profile type " + name + b"\0" + text)
    lines = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    content = png(WIDTH, HEIGHT, 8, 2, lines, part)
    assert (probe(content).height, probe(content).width) == (WIDTH, HEIGHT)
    for reader in READERS:
        np.testing.assert_array_equal(reader(content), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("color", [0, 2])
def test_a_key_color_is_transparent_in_both_readers(bits, color):
    kind = ">u1" if bits == 8 else ">u2"
    pixels = PIXELS.astype(int) * (257 if bits == 16 else 1)
    pixels = pixels if color == 2 else pixels[:, :, :1]
    key = pixels[0, 0]
    lines = b"".join(b"\0" + row.astype(kind).tobytes() for row in pixels)
    packed = struct.pack(f">{len(key)}H", *key)
    content = png(WIDTH, HEIGHT, bits, color, lines, chunk(b"tRNS", packed))
    with pytest.raises(ImageFault, match="transparent"):
        decode(content)
    hidden = (pixels == key).all(axis=2)
    np.testing.assert_array_equal(decode_original(content).alpha == 0, hidden)
    assert (decode(content, "white")[hidden] == 255).all()
