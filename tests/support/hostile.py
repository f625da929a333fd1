"""Images and archives as hostile as any that were met, made from a seed, each with what must come of it."""

import dataclasses
import io
import os
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from images import textured
from PIL import Image, ImageCms

from data.imaging.decode import LARGEST_PX
from data.records import Reason

HEIGHT, WIDTH = 96, 128
BAD = (Reason.UNREADABLE, Reason.NOT_AN_IMAGE)
"""Of a file cut off so early that nothing shows what it was."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One stored image.

    Args:
        name: the file's name.
        content: its bytes.
        pixels: what it decodes to; None if it must be rejected.
        reasons: why it is rejected; any of them is right.
        tolerance: how far pixels may be from that on the average, in levels; 0: not at all.
    """

    name: str
    content: bytes
    pixels: np.ndarray | None = None
    reasons: tuple[Reason, ...] = ()
    tolerance: float = 0.0


def image_cases(seed: int) -> list[Case]:
    """Return all cases that any kind of source can hold; their names and bytes are all different."""
    base = cv2.GaussianBlur(textured(seed, HEIGHT, WIDTH), (0, 0), 0.8)
    makers = (
        _plain,
        _deep,
        _layered,
        _turned,
        _profiles,
        _lossy,
        _cut,
        _damaged,
        _bombs,
        _videos,
        _no_images,
    )
    return [case for maker in makers for case in maker(base)]


def stored(image: np.ndarray | Image.Image, format: str, **options) -> bytes:
    """Return an image as Pillow stores it."""
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
    """Return a PNG of given header and given, not yet deflated, scan lines; `more` are chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *more]
    return b"".join([*parts, chunk(b"IDAT", zlib.compress(data, 9)), chunk(b"IEND", b"")])


def _scan_lines(image: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in image)


def _gray(base: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(base, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)


def _plain(base: np.ndarray) -> Iterator[Case]:
    """Yield what is only unusual."""
    gray = _gray(base)
    whole = stored(base, "PNG")
    yield Case("plain.png", whole, base)
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
    """Yield 16 bits and more."""
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
        "deep-keyed.png", png(WIDTH, HEIGHT, 16, 0, lines, chunk(b"tRNS", key)), reasons=(Reason.UNSUPPORTED,)
    )
    alpha[5:9] = 100
    yield Case("deep-glass.png", cv2.imencode(".png", alpha)[1].tobytes(), reasons=(Reason.UNSUPPORTED,))
    large = Image.fromarray(gray[:, :, 0].astype(np.int32) * 70_000)
    yield Case("large-numbers.tif", stored(large, "TIFF"), reasons=(Reason.UNSUPPORTED,))
    yield Case(
        "real-numbers.tif", stored(gray[:, :, 0] / np.float32(255), "TIFF"), reasons=(Reason.UNSUPPORTED,)
    )


def _layered(base: np.ndarray) -> Iterator[Case]:
    """Yield alpha channels, and others than RGB."""
    opaque = np.dstack([base, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    glass = opaque.copy()
    glass[10:20, 10:20, 3] = 100
    refused = (Reason.UNSUPPORTED,)
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


def _turned(base: np.ndarray) -> Iterator[Case]:
    """Yield every EXIF orientation, one that does not exist, and EXIF that is none."""
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
    """Yield color profiles: the usual one, one that takes green for red, and one that is none."""
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = usual.replace(b"rXYZ", b"....", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"....", b"gXYZ", 1)
    exchanged = np.ascontiguousarray(base[:, :, [1, 0, 2]])
    yield Case("srgb.png", stored(base, "PNG", icc_profile=usual), base, tolerance=0.6)
    yield Case("swapped.png", stored(base, "PNG", icc_profile=swapped), exchanged, tolerance=0.6)
    yield Case("swapped.jpg", stored(base, "JPEG", quality=97, icc_profile=swapped), exchanged, tolerance=4)
    yield Case("swapped.tif", stored(base, "TIFF", icc_profile=swapped), exchanged, tolerance=0.6)
    for suffix, format in (("png", "PNG"), ("tif", "TIFF")):
        broken = stored(base, format, icc_profile=b"not a profile" * 20)
        yield Case(f"profile-of-nothing.{suffix}", broken, reasons=(Reason.UNSUPPORTED,))


def _lossy(base: np.ndarray) -> Iterator[Case]:
    """Yield JPEGs and WebPs of all sorts."""
    near = {"tolerance": 4}
    yield Case("plain.jpg", stored(base, "JPEG", quality=95), base, **near)
    yield Case("progressive.jpeg", stored(base, "JPEG", quality=95, progressive=True), base, **near)
    yield Case("444.jpg", stored(base, "JPEG", quality=93, subsampling=0), base, **near)
    yield Case("restarts.jpg", stored(base, "JPEG", quality=92, restart_marker_blocks=3), base, **near)
    yield Case("gray.jpg", stored(_gray(base)[:, :, 0], "JPEG", quality=95), _gray(base), **near)
    yield Case("trailing.jpg", stored(base, "JPEG", quality=91) + bytes(3000), base, **near)
    video = stored(base, "JPEG", quality=90).replace(b"\xff\xc4", b"\xff\xe9")
    yield Case("huffman-tables-left-out-as-in-motion-jpeg.jpg", video, base, **near)
    yield Case("lossy.webp", stored(base, "WEBP", quality=95), base, **near)
    preview = Image.fromarray(base).resize((32, 24))
    two = stored(Image.fromarray(base), "MPO", quality=95, save_all=True, append_images=[preview])
    yield Case("with-a-preview.jpg", two, base, **near)


def _cut(base: np.ndarray) -> Iterator[Case]:
    """Yield truncations at many places."""
    wholes = {
        "png": stored(base, "PNG", compress_level=5), "jpg": stored(base, "JPEG", quality=89),
        "progressive.jpg": stored(base, "JPEG", quality=89, progressive=True),
        "webp": stored(base, "WEBP", quality=90), "lossless.webp": stored(base, "WEBP", lossless=True, quality=30),
        "tif": stored(base, "TIFF", compression="raw"), "lzw.tif": stored(base, "TIFF", compression="tiff_lzw"),
        "bmp": stored(base, "BMP"),
    }  # fmt: skip
    for suffix, whole in wholes.items():
        for percent in (3, 30, 60, 90, 99):
            yield Case(f"cut-{percent}.{suffix}", whole[: len(whole) * percent // 100], reasons=BAD)
    for offset in (1, 4, 8, 20, 32, 40, len(wholes["png"]) - 16):
        yield Case(f"cut-at-{offset}.png", wholes["png"][:offset], reasons=BAD)
    for offset in (2, 3, 11, 21):
        yield Case(f"cut-at-{offset}.jpg", wholes["jpg"][:offset], reasons=BAD)


def _damaged(base: np.ndarray) -> Iterator[Case]:
    """Yield wrong bits in the middle."""
    unreadable = (Reason.UNREADABLE,)
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
        # With every row there a wrong checksum at their end may be borne.
        pixels = base if name == "adler" else None
        yield Case(f"right-crc-wrong-{name}.png", broken, pixels, unreadable)
    jpeg = stored(base, "JPEG", quality=88)
    scan = jpeg.index(b"\xff\xda") + 14
    for share in (0.2, 0.5, 0.8):
        spoilt = bytearray(jpeg)
        place = scan + int((len(jpeg) - scan) * share)
        spoilt[place : place + 24] = b"\xff\xd9" + bytes(22)
        yield Case(f"ended-early-{share}.jpg", bytes(spoilt), reasons=unreadable)
    yield Case("no-quantization.jpg", jpeg.replace(b"\xff\xdb", b"\xff\xe9"), reasons=unreadable)
    yield Case("no-size.png", png(0, HEIGHT, 8, 2, _scan_lines(base)), reasons=unreadable)
    yield Case(
        "odd-depth.png",
        png(WIDTH, HEIGHT, 7, 2, _scan_lines(base)),
        reasons=(*unreadable, Reason.UNSUPPORTED),
    )


def _bombs(base: np.ndarray) -> Iterator[Case]:
    """Yield little that claims, or would become, very much."""
    side = int(LARGEST_PX**0.5) + 1
    yield Case("bomb.png", stored(Image.new("1", (side, side)), "PNG"), reasons=(Reason.TOO_LARGE,))
    yield Case("claims.png", png(200_000, 200_000, 8, 2, b"\0\0\0\0"), reasons=(Reason.TOO_LARGE,))
    jpeg = bytearray(stored(base, "JPEG", quality=87))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", 65_500, 65_500)
    yield Case("claims.jpg", bytes(jpeg), reasons=(Reason.TOO_LARGE,))
    profile = b"name\0\0" + zlib.compress(bytes(300_000_000), 9)
    content = png(WIDTH, HEIGHT, 8, 2, _scan_lines(base), chunk(b"iCCP", profile))
    yield Case("bomb-in-the-profile.png", content, reasons=(Reason.UNREADABLE, Reason.UNSUPPORTED))
    more = png(WIDTH, HEIGHT, 8, 2, _scan_lines(base) + bytes(100_000_000))
    yield Case("more-than-it-says.png", more, base, reasons=(Reason.UNREADABLE,))


def _videos(base: np.ndarray) -> Iterator[Case]:
    """Yield more than one frame."""
    frames = {"save_all": True, "append_images": [Image.fromarray(base[::-1])]}
    for name, format in (("video.png", "PNG"), ("video.webp", "WEBP"), ("pages.tif", "TIFF")):
        yield Case(name, stored(base, format, **frames), reasons=(Reason.UNSUPPORTED,))

    page = bytearray(stored(base[::-1], "TIFF"))
    directory = struct.unpack_from("<L", page, 4)[0]
    entries = struct.unpack_from("<H", page, directory)[0]
    struct.pack_into("<L", page, directory + 2 + 12 * entries, len(page))
    yield Case(
        "page-of-nothing.tif", bytes(page) + bytes(64), reasons=(Reason.UNREADABLE, Reason.UNSUPPORTED)
    )


def _no_images(base: np.ndarray) -> Iterator[Case]:
    """Yield what only has an image's name."""
    no = (Reason.NOT_AN_IMAGE,)
    yield Case("empty.png", b"", reasons=no)
    yield Case("text.png", b"This is no image.\n" * 40, reasons=no)
    yield Case("page.jpg", b"<!DOCTYPE html><title>404</title>", reasons=no)
    yield Case("zeros.tif", bytes(5000), reasons=no)
    yield Case("gif.png", stored(Image.fromarray(base).quantize(16), "GIF"), reasons=no)
    yield Case("mac._.jpg", b"\0\5\x16\7" + bytes(80), reasons=no)
    yield Case("notes.txt", b"no image's name", reasons=no)


def write_folder(root: Path, cases: list[Case]) -> None:
    """Write cases as files, and beside them what only a folder can hold."""
    for case in cases:
        (root / case.name).write_bytes(case.content)
    (root / "link.png").symlink_to(root / "plain.png")
    (root / "linked-folder").symlink_to(root.parent)
    os.mkfifo(root / "pipe.png")
    (root / ".hidden.png").write_bytes(cases[0].content)
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.png")).write_bytes(stored(cases[0].pixels[::-1], "PNG"))


FOLDER_EXTRAS = {
    "link.png": Reason.LINK,
    "linked-folder": Reason.LINK,
    "pipe.png": Reason.LINK,
    ".hidden.png": Reason.NOT_AN_IMAGE,
    "caf\\xe9.png": None,
}
"""What must come of them, by id; None: an image."""


def write_tar(path: Path, cases: list[Case]) -> None:
    """Write cases as a tar, and with them what only a tar can hold."""
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
    """Return a tar whose first header has another size in its field, and the checksum that goes with it."""
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
"""Sizes that are none, or none that can be, by the name of the tar inside whose first header has them."""


def _inner_tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, held in (
            ("../out.png", content),
            ("ün" * 60 + ".png", content),
            ("deeper.tar", bytes(1024)),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(held)
            tar.addfile(info, io.BytesIO(held))
    return buffer.getvalue()


TAR_EXTRAS = {
    "../evil.png": Reason.UNSAFE_NAME,
    "/evil.png": Reason.UNSAFE_NAME,
    "a/../../evil.png": Reason.UNSAFE_NAME,
    "..\\evil.png": Reason.UNSAFE_NAME,
    "symbolic.png": Reason.LINK,
    "hard.png": Reason.LINK,
    "tty.png": Reason.LINK,
    "disk.png": Reason.LINK,
    "pipe.png": Reason.LINK,
    "twice.png": None,
    "twice.png#2": None,
    "caf\\xe9.png": None,
    "line\\x0afeed.png": None,
    "long/" * 60 + "name.png": None,
    "inner.tar/../out.png": Reason.UNSAFE_NAME,
    "inner.tar/" + "ün" * 60 + ".png": None,
    "inner.tar/deeper.tar": Reason.NOT_AN_IMAGE,
    "cut.tar/../out.png": Reason.UNSAFE_NAME,
    "cut.tar": Reason.UNREADABLE,
    "hole.tar/../out.png": Reason.UNSAFE_NAME,
    "hole.tar": Reason.UNREADABLE,
    "signature.tar/../out.png": Reason.UNSAFE_NAME,
    "signature.tar/" + "ün" * 60 + ".png": None,
    "signature.tar/deeper.tar": Reason.NOT_AN_IMAGE,
    "signature.tar/(the end)": Reason.NOT_AN_IMAGE,
    **dict.fromkeys(TAR_SIZES, Reason.UNREADABLE),
}


def write_zip(path: Path, cases: list[Case]) -> None:
    """Write cases as a zip, and with them what only a zip can hold."""
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
    _spoil(path)


def _spoil(path: Path) -> None:
    """Change what zipfile would not write: in the central directory, which is what counts."""
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


ZIP_EXTRAS = {
    "../evil.png": Reason.UNSAFE_NAME,
    "/evil.png": Reason.UNSAFE_NAME,
    "a/../../evil.png": Reason.UNSAFE_NAME,
    "..\\evil.png": Reason.UNSAFE_NAME,
    "C:\\evil.png": Reason.UNSAFE_NAME,
    "symbolic.png": Reason.LINK,
    "bzip2.png": Reason.UNSUPPORTED,
    "locked.png": Reason.UNSUPPORTED,
    "wrong-crc.png": Reason.UNREADABLE,
    "wrong-size.png": Reason.UNREADABLE,
    "wrong-bits.png": Reason.UNREADABLE,
    "shared.png": Reason.UNREADABLE,
    "café\\xa0.png": None,
    "utf8-\\xe9\\xff.png": None,
    "zip64.png": None,
    "zip64.png#2": None,
}
