"""Each kind of TIFF is read as tifffile reads it, within a level, or is refused by name; none counts as damaged."""

import io
import itertools
import struct

import numpy as np
import pytest
import tifffile
from hostile_images import png
from images import textured
from PIL import Image

from data.imaging.bit_depth import bit_depth
from data.imaging.decode import ImageFault, decode, probe
from data.imaging.original import decode_original
from data.imaging.tiff import read_layout
from data.records import RejectionReason

COLORS = textured(3, 48, 64)
DEEP = np.minimum(COLORS.astype(np.uint16) * 257 + COLORS[:, :, ::-1] // 3, 65535).astype(np.uint16)
OPAQUE = {np.uint8: np.full((48, 64, 1), 255, np.uint8), np.uint16: np.full((48, 64, 1), 65535, np.uint16)}


def tiff(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def by_tifffile(content: bytes) -> np.ndarray:
    """Return what tifffile reads as 0 to 255, height x width x samples, black as 0."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        pixels = page.asarray()
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            pixels = np.moveaxis(pixels, 0, 2)
        levels = pixels / (1 if pixels.dtype == bool else np.iinfo(pixels.dtype).max) * 255
        levels = 255 - levels if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE else levels
    return levels[:, :, None] if levels.ndim == 2 else levels


def assert_read_or_refused(content: bytes) -> bool:
    """Return whether the image is read; both readers must agree on it, and be right."""
    try:
        header = probe(content)
    except ImageFault as fault:
        assert fault.reason is RejectionReason.UNSUPPORTED and "this kind is not read" in fault.detail
        for reader in (decode, decode_original):
            with pytest.raises(ImageFault, match="this kind is not read"):
                reader(content)
        return False
    expected = by_tifffile(content)
    colors = expected[:, :, : 1 if expected.shape[2] < 3 else 3]
    converted, original = decode(content), decode_original(content)
    assert (header.height, header.width) == converted.shape[:2]
    assert np.abs(converted - colors).max() <= 0.5 + 1e-9
    top = np.iinfo(original.colors.dtype).max
    assert np.abs(original.colors / top * 255 - colors).max() <= 0.5 + 1e-9
    assert original.alpha is None or (original.alpha == top).all()
    return True


LAYOUTS = [
    {"byteorder": order, "bigtiff": big, "tile": tile, "compression": compression, "predictor": predictor}
    for order, big, tile, (compression, predictor) in itertools.product(
        "<>", (False, True), (None, (16, 32)), ((None, None), ("zlib", None), ("zlib", 2))
    )
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(map(str, layout.values())))
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_plain_tiffs_of_every_layout(kind, layout):
    colors = COLORS if kind is np.uint8 else DEEP
    is_big_endian_big = layout["bigtiff"] and layout["byteorder"] == ">"
    read = [
        assert_read_or_refused(tiff(colors, photometric="rgb", **layout)),
        assert_read_or_refused(tiff(colors[:, :, 0], photometric="minisblack", **layout)),
    ]
    assert read == [not is_big_endian_big] * 2
    assert_read_or_refused(tiff(colors[:, :, 0], photometric="miniswhite", **layout))
    planes = np.ascontiguousarray(np.moveaxis(colors, 2, 0))
    is_planar_read = assert_read_or_refused(
        tiff(planes, photometric="rgb", planarconfig="separate", **layout)
    )
    assert is_planar_read == (kind is np.uint8 and not is_big_endian_big)


def test_white_is_zero_of_16_bits_is_turned_around():
    content = tiff(DEEP[:, :, 0], photometric="miniswhite")
    np.testing.assert_array_equal(decode_original(content).colors[:, :, 0], 65535 - DEEP[:, :, 0])


@pytest.mark.parametrize("extra", ["assocalpha", "unassalpha", "unspecified"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [1, 3])
def test_extra_samples(extra, kind, planar, channels):
    pixels = np.dstack([(COLORS if kind is np.uint8 else DEEP)[:, :, :channels], OPAQUE[kind]])
    pixels = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planar == "separate" else pixels
    photometric = "rgb" if channels == 3 else "minisblack"
    content = tiff(pixels, photometric=photometric, planarconfig=planar, extrasamples=[extra])
    is_read = assert_read_or_refused(content)
    assert is_read or planar == "separate" or (channels, kind) == (1, np.uint16)


def test_gray_with_associated_alpha_is_composited_if_requested():
    gray = np.dstack([COLORS[:, :, 0] // 2, np.full((48, 64), 128, np.uint8)])
    content = tiff(gray, photometric="minisblack", planarconfig="contig", extrasamples=["assocalpha"])
    with pytest.raises(ImageFault, match="alpha down to 128"):
        decode(content)
    assert np.abs(decode(content, "black")[:, :, 0].astype(int) - COLORS[:, :, 0] // 2).max() <= 1
    assert (decode_original(content).alpha == 128).all()


@pytest.mark.parametrize(
    "kind", ["i1", "i2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"], ids=lambda kind: kind
)
@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_that_are_not_unsigned_8_or_16_bits_are_refused(kind, channels):
    pixels = (COLORS // 2)[:, :, :channels].astype(kind)
    content = tiff(pixels.squeeze(), photometric="rgb" if channels == 3 else "minisblack")
    assert not assert_read_or_refused(content)


@pytest.mark.parametrize("photometric", ["logluv", "logl", "cielab", "icclab", "cfa", "linear_raw"])
def test_color_spaces_that_are_not_read(photometric):
    pixels = DEEP[:, :, 0] if photometric in ("logl", "cfa") else DEEP
    assert not assert_read_or_refused(tiff(pixels, photometric=photometric))


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("order", "<>")
def test_gray_of_every_depth(bits, photometric, order):
    values = np.random.default_rng(bits).integers(0, 1 << bits, (16, 64))
    content = packed_gray(values, bits, photometric, order)
    assert bit_depth(content, "tiff") == bits
    levels = values / ((1 << bits) - 1) * 255
    levels = levels if photometric else 255 - levels
    try:
        read = decode(content)
    except ImageFault as fault:
        assert fault.reason is RejectionReason.UNSUPPORTED
        assert bits not in (1, 8) and (bits, photometric, order) != (16, 0, "<")
        with pytest.raises(ImageFault, match="this kind is not read"):
            decode_original(content)
        return
    assert bits in (1, 2, 4, 8, 16)
    assert np.abs(read - levels[:, :, None]).max() <= 0.5 + 1e-9
    original = decode_original(content).colors
    top = np.iinfo(original.dtype).max
    assert np.abs(original / top * 255 - levels[:, :, None]).max() <= 0.5 + 1e-9


def packed_gray(values: np.ndarray, bits: int, photometric: int, order: str) -> bytes:
    """Return a TIFF of one strip, its samples packed without gaps (tifffile writes only whole bytes)."""
    height, width = values.shape
    if bits % 8 == 0 and bits != 24:
        strip = values.astype(f"{order}u{bits // 8}").tobytes()
    else:
        digits = (values[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        strip = np.packbits(digits.astype(np.uint8).reshape(height, -1), axis=1).tobytes()
    tags = ((256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 0), (277, 1),
            (278, height), (279, len(strip)))  # fmt: skip
    at = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack(order + "HHLL", tag, 4, 1, at if tag == 273 else value) for tag, value in tags
    )
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "LH", 8, len(tags))
    return start + entries + bytes(4) + strip


def test_cmyk_of_8_bits_16_bits_and_planes_agree():
    ink = np.dstack([COLORS, COLORS[:, :, :1] // 4])
    plain = decode(tiff(ink, photometric="separated"))
    planes = np.ascontiguousarray(np.moveaxis(ink, 2, 0))
    np.testing.assert_array_equal(
        decode(tiff(planes, photometric="separated", planarconfig="separate")), plain
    )
    deep = decode(tiff(ink.astype(np.uint16) * 257, photometric="separated"))
    assert np.abs(deep.astype(int) - plain).max() <= 1
    deep_planes = tiff(planes.astype(np.uint16) * 257, photometric="separated", planarconfig="separate")
    with pytest.raises(ImageFault, match="CMYK, 16 bits x 4 samples, planar"):
        decode(deep_planes)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_orientation_of_a_tiff(orientation, kind, channels):
    colors = (COLORS if kind is np.uint8 else DEEP)[:, :, :channels]
    tag = (274, 3, 1, orientation, True)
    content = tiff(colors.squeeze(), photometric="rgb" if channels == 3 else "minisblack", extratags=[tag])
    turned = {
        1: colors, 2: colors[:, ::-1], 3: colors[::-1, ::-1], 4: colors[::-1], 5: colors.transpose(1, 0, 2),
        6: np.rot90(colors, -1), 7: colors[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(colors),
    }[orientation]  # fmt: skip
    header = probe(content)
    assert (header.height, header.width) == turned.shape[:2]
    np.testing.assert_array_equal(decode_original(content).colors, turned)
    levels = turned / np.iinfo(kind).max * 255
    assert np.abs(decode(content) - levels).max() <= 0.5


def test_a_directory_that_is_cut_off_is_damage_and_not_a_kind():
    for order in "<>":
        content = tiff(COLORS, photometric="rgb", byteorder=order)
        directory = struct.unpack_from(order + "L", content, 4)[0]
        assert read_layout(content[: directory + 20]) is None
        with pytest.raises(ImageFault) as fault:
            probe(content[: directory + 20])
        assert fault.value.reason is RejectionReason.UNREADABLE


def test_a_bmp_with_masks_that_are_not_read_is_refused_by_name():
    file = io.BytesIO()
    Image.fromarray(COLORS).convert("RGBA").save(file, "BMP")
    content = bytearray(file.getvalue())
    head = struct.pack("<LLLL", 0x3FF00000, 0xFFC00, 0x3FF, 0)  # ten bits a channel
    size = struct.unpack_from("<L", content, 14)[0]
    struct.pack_into("<L", content, 14, 56)
    struct.pack_into("<L", content, 30, 3)  # bit fields
    struct.pack_into("<L", content, 10, 14 + 56)
    made = bytes(content[: 14 + 40]) + head + bytes(content[14 + size :])
    with pytest.raises(ImageFault) as fault:
        probe(made)
    assert fault.value.reason is RejectionReason.UNSUPPORTED


@pytest.mark.parametrize("channels", [2, 4])
def test_png_of_16_bits_with_alpha_is_rounded(channels):
    pixels = np.dstack([DEEP[:, :, : channels - 1], OPAQUE[np.uint16]])
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    content = png(64, 48, 16, 4 if channels == 2 else 6, lines)
    colors = DEEP[:, :, : channels - 1]
    assert np.abs(decode(content) - colors / 257).max() <= 0.5
    np.testing.assert_array_equal(decode_original(content).colors, colors)
