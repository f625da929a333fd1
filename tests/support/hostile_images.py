"""Hostile images made from a seed, each with the pixels or the rejection that must result."""

import dataclasses
import io
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from images import textured
from PIL import Image, ImageCms

from data.imaging.decode import LARGEST_PX
from data.records import RejectionReason

HEIGHT, WIDTH = 96, 128
BAD = (RejectionReason.UNREADABLE,)
"""The reasons for a file that is cut off so early that its format can't be recognized."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One stored image.

    Args:
        name: file name.
        content: the stored bytes.
        pixels: what it must decode to; None if it must be rejected.
        reasons: the allowed rejection reasons.
        tolerance: largest mean difference from `pixels`, in levels.
    """

    name: str
    content: bytes
    pixels: np.ndarray | None = None
    reasons: tuple[RejectionReason, ...] = ()
    tolerance: float = 0.0


def image_cases(seed: int) -> list[Case]:
    """Return all cases. Their names and bytes are all different."""
    base = cv2.GaussianBlur(textured(seed, HEIGHT, WIDTH), (0, 0), 0.8)
    makers = (
        _plain,
        _deep,
        _alpha_and_color_spaces,
        _rotated,
        _profiles,
        _lossy,
        _truncated,
        _damaged,
        _bombs,
        _several_frames,
        _not_images,
    )
    return [case for maker in makers for case in maker(base)]


def stored(image: np.ndarray | Image.Image, format: str, **options) -> bytes:
    """Encode an image with Pillow."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk with its CRC."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, depth: int, color: int, data: bytes, *more: bytes, interlaced: int = 0
) -> bytes:
    """Return a PNG with this header and these scan lines, which are deflated here; `more` are chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *more]
    return b"".join([*parts, chunk(b"IDAT", zlib.compress(data, 9)), chunk(b"IEND", b"")])


def _scan_lines(image: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in image)


def _gray(base: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(base, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)


def _plain(base: np.ndarray) -> Iterator[Case]:
    """Yield valid but unusual images."""
    gray = _gray(base)
    yield Case("plain.png", stored(base, "PNG"), base)
    yield Case("trailing.png", stored(base, "PNG", compress_level=1) + b"appended by a camera" * 50, base)
    yield Case("gray.png", stored(gray[:, :, 0], "PNG"), gray)
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    lines = b"".join(_scan_lines(base[top::down, left::right]) for top, left, down, right in passes)
    yield Case("interlaced.png", png(WIDTH, HEIGHT, 8, 2, lines, interlaced=1), base)
    palette = Image.fromarray(base).quantize(64)
    yield Case("palette.png", stored(palette, "PNG"), np.asarray(palette.convert("RGB")))
    two = Image.fromarray(base).convert("1")
    yield Case("one-bit.png", stored(two, "PNG"), np.asarray(two.convert("RGB")))
    yield Case("plain.bmp", stored(base, "BMP"), base)
    yield Case("palette.bmp", stored(palette, "BMP"), np.asarray(palette.convert("RGB")))
    yield Case("lzw.tif", stored(base, "TIFF", compression="tiff_lzw"), base)
    yield Case("deflated.tiff", stored(base, "TIFF", compression="tiff_adobe_deflate"), base)
    yield Case("lossless.webp", stored(base, "WEBP", lossless=True), base)
    yield Case("in-truth-a-png.jpg", stored(base, "PNG", compress_level=2), base)
    yield Case("in-truth-a-jpeg.png", stored(base, "JPEG", quality=94), base, tolerance=4)
    yield Case("UPPER.PNG", stored(base, "PNG", compress_level=3), base)


def _deep(base: np.ndarray) -> Iterator[Case]:
    """Yield images of 16 bits per channel and more."""
    deep, gray = base.astype(np.uint16) * 257, _gray(base)
    bgr = deep[:, :, ::-1]
    yield Case("deep.png", cv2.imencode(".png", bgr)[1].tobytes(), base)
    yield Case("deep.tif", cv2.imencode(".tif", bgr)[1].tobytes(), base)
    alpha = np.dstack([bgr, np.full((HEIGHT, WIDTH), 65535, np.uint16)])
    yield Case("deep-opaque.png", cv2.imencode(".png", alpha)[1].tobytes(), base)
    yield Case("deep-gray.png", stored(gray[:, :, 0].astype(np.uint16) * 257, "PNG"), gray)
    yield Case("deep-gray.tif", stored(gray[:, :, 0].astype(np.uint16) * 257, "TIFF"), gray)
    key = struct.pack(">H", int(gray[0, 0, 0]) * 257)
    lines = _scan_lines((gray[:, :, 0].astype(np.uint16) * 257).astype(">u2"))
    yield Case(
        "deep-keyed.png",
        png(WIDTH, HEIGHT, 16, 0, lines, chunk(b"tRNS", key)),
        reasons=(RejectionReason.UNSUPPORTED,),
    )
    alpha[5:9] = 100
    yield Case(
        "deep-glass.png", cv2.imencode(".png", alpha)[1].tobytes(), reasons=(RejectionReason.UNSUPPORTED,)
    )
    large = Image.fromarray(gray[:, :, 0].astype(np.int32) * 70_000)
    yield Case("large-numbers.tif", stored(large, "TIFF"), reasons=(RejectionReason.UNSUPPORTED,))
    yield Case(
        "real-numbers.tif",
        stored(gray[:, :, 0] / np.float32(255), "TIFF"),
        reasons=(RejectionReason.UNSUPPORTED,),
    )


def _alpha_and_color_spaces(base: np.ndarray) -> Iterator[Case]:
    """Yield images with an alpha channel or in another color space than RGB."""
    opaque = np.dstack([base, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    glass = opaque.copy()
    glass[10:20, 10:20, 3] = 100
    refused = (RejectionReason.UNSUPPORTED,)
    yield Case("opaque.png", stored(opaque, "PNG"), base)
    yield Case("glass.png", stored(glass, "PNG"), reasons=refused)
    yield Case("glass.webp", stored(glass, "WEBP", lossless=True), reasons=refused)
    yield Case("glass.tif", stored(glass, "TIFF"), reasons=refused)
    gray = np.dstack([_gray(base)[:, :, 0], glass[:, :, 3]])
    yield Case("gray-glass.png", stored(Image.fromarray(gray, "LA"), "PNG"), reasons=refused)
    palette = Image.fromarray(base).quantize(64)
    yield Case(
        "palette-glass.png", stored(palette, "PNG", transparency=palette.getpixel((0, 0))), reasons=refused
    )
    key = struct.pack(">HHH", *base[0, 0])
    yield Case("keyed.png", png(WIDTH, HEIGHT, 8, 2, _scan_lines(base), chunk(b"tRNS", key)), reasons=refused)
    cmyk = stored(Image.fromarray(base).convert("CMYK"), "JPEG", quality=95, subsampling=0)
    yield Case("cmyk.jpg", cmyk, base, tolerance=4)
    yield Case("ycbcr.tif", stored(Image.fromarray(base).convert("YCbCr"), "TIFF"), base, tolerance=2)
    profile = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(Image.fromarray(base), profile[1], profile[0], outputMode="LAB")
    yield Case("lab.tif", stored(lab, "TIFF"), base, tolerance=3)
    yield Case("cmyk.tif", stored(Image.fromarray(base).convert("CMYK"), "TIFF"), base)


def _rotated(base: np.ndarray) -> Iterator[Case]:
    """Yield every EXIF orientation, and one that does not exist."""
    upright = {
        1: base, 2: base[:, ::-1], 3: base[::-1, ::-1], 4: base[::-1], 5: base.transpose(1, 0, 2),
        6: np.rot90(base, -1), 7: base[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(base), 9: base,
    }  # fmt: skip
    for orientation, pixels in upright.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield Case(f"turned-{orientation}.png", stored(base, "PNG", exif=exif), pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    for format, suffix, options in (
        ("JPEG", "jpg", {"quality": 96}),
        ("TIFF", "tif", {}),
        ("WEBP", "webp", {"quality": 96}),
    ):
        content = stored(base, format, exif=exif, **options)
        yield Case(f"turned.{suffix}", content, np.rot90(base, -1), tolerance=4 if options else 0)


def _profiles(base: np.ndarray) -> Iterator[Case]:
    """Yield color profiles: sRGB, one that swaps red and green, and one that is not a profile."""
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = usual.replace(b"rXYZ", b"....", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"....", b"gXYZ", 1)
    exchanged = np.ascontiguousarray(base[:, :, [1, 0, 2]])
    yield Case("srgb.png", stored(base, "PNG", icc_profile=usual), base, tolerance=0.6)
    yield Case("swapped.png", stored(base, "PNG", icc_profile=swapped), exchanged, tolerance=0.6)
    yield Case("swapped.jpg", stored(base, "JPEG", quality=97, icc_profile=swapped), exchanged, tolerance=4)
    yield Case("swapped.tif", stored(base, "TIFF", icc_profile=swapped), exchanged, tolerance=0.6)
    for suffix, format in (("png", "PNG"), ("tif", "TIFF")):
        broken = stored(base, format, icc_profile=b"not a profile" * 20)
        yield Case(f"profile-of-nothing.{suffix}", broken, base)


def _lossy(base: np.ndarray) -> Iterator[Case]:
    """Yield JPEGs and WebPs of all kinds."""
    near = {"tolerance": 4}
    yield Case("plain.jpg", stored(base, "JPEG", quality=95), base, **near)
    yield Case("progressive.jpeg", stored(base, "JPEG", quality=95, progressive=True), base, **near)
    yield Case("444.jpg", stored(base, "JPEG", quality=93, subsampling=0), base, **near)
    yield Case("restarts.jpg", stored(base, "JPEG", quality=92, restart_marker_blocks=3), base, **near)
    yield Case("gray.jpg", stored(_gray(base)[:, :, 0], "JPEG", quality=95), _gray(base), **near)
    yield Case("trailing.jpg", stored(base, "JPEG", quality=91) + bytes(3000), base, **near)
    without_tables = stored(base, "JPEG", quality=90).replace(b"\xff\xc4", b"\xff\xe9")
    yield Case("huffman-tables-left-out-as-in-motion-jpeg.jpg", without_tables, base, **near)
    yield Case("lossy.webp", stored(base, "WEBP", quality=95), base, **near)
    preview = Image.fromarray(base).resize((32, 24))
    two = stored(Image.fromarray(base), "MPO", quality=95, save_all=True, append_images=[preview])
    yield Case("with-a-preview.jpg", two, base, **near)


def _truncated(base: np.ndarray) -> Iterator[Case]:
    """Yield images that are cut off at many places."""
    complete = {
        "png": stored(base, "PNG", compress_level=5), "jpg": stored(base, "JPEG", quality=89),
        "progressive.jpg": stored(base, "JPEG", quality=89, progressive=True),
        "webp": stored(base, "WEBP", quality=90), "lossless.webp": stored(base, "WEBP", lossless=True, quality=30),
        "tif": stored(base, "TIFF", compression="raw"), "lzw.tif": stored(base, "TIFF", compression="tiff_lzw"),
        "bmp": stored(base, "BMP"),
    }  # fmt: skip
    for suffix, content in complete.items():
        for percent in (3, 30, 60, 90, 99):
            yield Case(f"cut-{percent}.{suffix}", content[: len(content) * percent // 100], reasons=BAD)
    for offset in (1, 4, 8, 20, 32, 40, len(complete["png"]) - 16):
        yield Case(f"cut-at-{offset}.png", complete["png"][:offset], reasons=BAD)
    for offset in (2, 3, 11, 21):
        yield Case(f"cut-at-{offset}.jpg", complete["jpg"][:offset], reasons=BAD)


def _damaged(base: np.ndarray) -> Iterator[Case]:
    """Yield images with wrong bits in the middle."""
    unreadable = (RejectionReason.UNREADABLE,)
    whole = stored(base, "PNG", compress_level=7)
    for place in (20, len(whole) // 3, len(whole) * 2 // 3, len(whole) - 18):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        yield Case(f"flipped-{place}.png", bytes(flipped), reasons=unreadable)
    lines = zlib.compress(_scan_lines(base))
    start = whole.index(b"IDAT") - 4
    for name, data in (
        ("adler", lines[:-1] + bytes([lines[-1] ^ 1])),
        ("short", zlib.compress(_scan_lines(base[:-9]))),
    ):
        broken = whole[:start] + chunk(b"IDAT", data) + chunk(b"IEND", b"")
        # All rows are there, so a decoder may tolerate the wrong checksum behind them.
        pixels = base if name == "adler" else None
        yield Case(f"right-crc-wrong-{name}.png", broken, pixels, unreadable)
    jpeg = stored(base, "JPEG", quality=88)
    scan = jpeg.index(b"\xff\xda") + 14
    for share in (0.2, 0.5, 0.8):
        broken_jpeg = bytearray(jpeg)
        place = scan + int((len(jpeg) - scan) * share)
        broken_jpeg[place : place + 24] = b"\xff\xd9" + bytes(22)
        yield Case(f"ended-early-{share}.jpg", bytes(broken_jpeg), reasons=unreadable)
    yield Case("no-quantization.jpg", jpeg.replace(b"\xff\xdb", b"\xff\xe9"), reasons=unreadable)
    yield Case("no-size.png", png(0, HEIGHT, 8, 2, _scan_lines(base)), reasons=unreadable)
    yield Case(
        "odd-depth.png",
        png(WIDTH, HEIGHT, 7, 2, _scan_lines(base)),
        reasons=(*unreadable, RejectionReason.UNSUPPORTED),
    )


def _bombs(base: np.ndarray) -> Iterator[Case]:
    """Yield small files that claim to be, or would become, enormous."""
    side = int(LARGEST_PX**0.5) + 1
    yield Case("bomb.png", stored(Image.new("1", (side, side)), "PNG"), reasons=(RejectionReason.TOO_LARGE,))
    yield Case("claims.png", png(200_000, 200_000, 8, 2, b"\0\0\0\0"), reasons=(RejectionReason.TOO_LARGE,))
    jpeg = bytearray(stored(base, "JPEG", quality=87))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", 65_500, 65_500)
    yield Case("claims.jpg", bytes(jpeg), reasons=(RejectionReason.TOO_LARGE,))
    profile = b"name\0\0" + zlib.compress(bytes(300_000_000), 9)
    content = png(WIDTH, HEIGHT, 8, 2, _scan_lines(base), chunk(b"iCCP", profile))
    yield Case("bomb-in-the-profile.png", content, base)
    more = png(WIDTH, HEIGHT, 8, 2, _scan_lines(base) + bytes(100_000_000))
    yield Case("more-than-it-says.png", more, base, reasons=(RejectionReason.UNREADABLE,))


def _several_frames(base: np.ndarray) -> Iterator[Case]:
    """Yield images with more than one frame."""
    frames = {"save_all": True, "append_images": [Image.fromarray(base[::-1])]}
    for name, format in (("video.png", "PNG"), ("video.webp", "WEBP"), ("pages.tif", "TIFF")):
        yield Case(name, stored(base, format, **frames), reasons=(RejectionReason.UNSUPPORTED,))

    page = bytearray(stored(base[::-1], "TIFF"))
    directory = struct.unpack_from("<L", page, 4)[0]
    entries = struct.unpack_from("<H", page, directory)[0]
    struct.pack_into("<L", page, directory + 2 + 12 * entries, len(page))
    yield Case(
        "page-of-nothing.tif",
        bytes(page) + bytes(64),
        reasons=(RejectionReason.UNREADABLE, RejectionReason.UNSUPPORTED),
    )


def _not_images(base: np.ndarray) -> Iterator[Case]:
    """Yield files that only have an image's name, and one that has none."""
    refused = (RejectionReason.UNREADABLE,)
    yield Case("empty.png", b"", reasons=refused)
    yield Case("text.png", b"This is no image.\n" * 40, reasons=refused)
    yield Case("page.jpg", b"<!DOCTYPE html><title>404</title>", reasons=refused)
    yield Case("zeros.tif", bytes(5000), reasons=refused)
    gif = stored(Image.fromarray(base).quantize(16), "GIF")
    yield Case("gif.png", gif, reasons=(RejectionReason.UNSUPPORTED,))
    yield Case("mac._.jpg", b"\0\5\x16\7" + bytes(80), reasons=refused)
    yield Case("notes.txt", b"no image's name", reasons=(RejectionReason.NOT_AN_IMAGE, *refused))
