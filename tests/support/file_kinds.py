"""One example of each row of docs/reference/kinds-of-files.md: files as people have them, made on the spot."""

import bz2
import dataclasses
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import tifffile
from archives import encoded_image, make_tar, tar_member
from hostile_images import chunk, png, stored
from images import textured
from PIL import Image, ImageCms

HEIGHT, WIDTH = 48, 64
RGB = cv2.GaussianBlur(textured(5, HEIGHT, WIDTH), (0, 0), 0.8)
GRAY = RGB[:, :, 1]
GRAYS = np.repeat(GRAY[:, :, None], 3, axis=2)
DEEP = RGB.astype(np.uint16) * 257
OPAQUE = np.dstack([RGB, np.full((HEIGHT, WIDTH), 255, np.uint8)])
GLASS = np.dstack([RGB, np.full((HEIGHT, WIDTH), 128, np.uint8)])
NEAR = 6.0
"""Mean difference of a lossy file, in levels."""


@dataclasses.dataclass(frozen=True)
class ImageCase:
    """Files of one kind."""

    contents: tuple[bytes, ...]
    pixels: np.ndarray | None = None
    """What they must decode to; None if they are rejected."""
    tolerance: float = 0.0
    name: str = "a.png"
    alpha: str = "refuse"


def _case(*contents: bytes, **more: object) -> ImageCase:
    return ImageCase(contents, **more)


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    """Write a TIFF with tifffile."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def _as_rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def _jpeg(**options: object) -> bytes:
    return stored(RGB, "JPEG", quality=96, **options)


def _frame_header(content: bytes, marker: int = 0xC0, bits: int = 8) -> bytes:
    """Return a JPEG that says in its frame header that it is of another kind."""
    at = content.index(b"\xff\xc0")
    return content[:at] + bytes([0xFF, marker]) + content[at + 2 : at + 4] + bytes([bits]) + content[at + 5 :]


def _ended_early(jpeg: bytes) -> bytes:
    """Return a JPEG with an end marker in the middle of its scan."""
    at = (jpeg.index(b"\xff\xda") + len(jpeg)) // 2
    return jpeg[:at] + b"\xff\xd9"


def _flip_bit(content: bytes) -> bytes:
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    return bytes(flipped)


def _swapped_profile() -> bytes:
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return usual.replace(b"rXYZ", b"....", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"....", b"gXYZ", 1)


def _turned(format: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return stored(RGB, format, exif=exif, **options)


def _frames(format: str) -> bytes:
    return stored(RGB, format, save_all=True, append_images=[Image.fromarray(RGB[::-1])])


def _odd_bitfields() -> bytes:
    """Return a BMP of 16 bits whose red, green and blue have unusual places."""
    header = struct.pack("<LllHHLLllLL", 40, 8, 8, 1, 16, 3, 128, 0, 0, 0, 0)
    masks = struct.pack("<3L", 0x0F00, 0x00F0, 0x000F)
    return struct.pack("<2sLHHL", b"BM", 66 + 128, 0, 0, 66) + header + masks + bytes(128)


def _with_text(text_bytes: int) -> bytes:
    lines = b"".join(b"\0" + row.tobytes() for row in RGB)
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * text_bytes))
    return png(WIDTH, HEIGHT, 8, 2, lines, text)


def _packed(bits: int) -> bytes:
    """Return a gray TIFF of 16 x 16 pixels of any depth, zeros only."""
    count = 8
    tags = (
        (256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8 + 2 + 12 * count + 4), (278, 3, 1, 16), (279, 4, 1, 16 * 2 * bits),
    )  # fmt: skip
    rows = b"".join(struct.pack("<HHLL", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<LH", 8, count) + rows + bytes(4) + bytes(32 * bits)


def _planar(pixels: np.ndarray) -> bytes:
    planes = np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
    return tiff(planes, photometric="rgb", planarconfig="separate")


_PALETTE = Image.fromarray(RGB).quantize(64)
_BLACK = np.round(RGB * (128 / 255)).astype(np.uint8)
_PIL = Image.fromarray(RGB)
_LAB = ImageCms.profileToProfile(
    _PIL, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
)
_FOREIGN = {
    "GIF": stored(_PALETTE, "GIF"),
    "AVIF": stored(RGB, "AVIF"),
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(500),
    "JPEG 2000": stored(RGB, "JPEG2000"),
    "JPEG XL": b"\xff\x0a" + bytes(500),
    "PSD": b"8BPS\0\1" + bytes(500),
    "EXR": b"\x76\x2f\x31\x01" + bytes(500),
    "HDR": cv2.imencode(".hdr", RGB / np.float32(255))[1].tobytes(),
    "DDS": stored(RGB, "DDS"),
    "ICO": stored(RGB, "ICO"),
    "PDF": stored(RGB, "PDF"),
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
}


def image_cases() -> dict[str, ImageCase]:
    """Return the example of each row about images, by the text of its first cell."""
    return _taken() | _converted() | _warned() | _kinds_not_read() | _damaged() | _no_images()


def _taken() -> dict[str, ImageCase]:
    compressions = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
    return {
        "PNG, 8-bit RGB": _case(stored(RGB, "PNG"), pixels=RGB),
        "JPEG in color: baseline, progressive, with restart markers, 4:2:0 or 4:4:4": _case(
            _jpeg(), _jpeg(progressive=True), _jpeg(restart_marker_blocks=2), _jpeg(subsampling=0),
            pixels=RGB, tolerance=NEAR,
        ),
        "JPEG with a preview behind it (MPO), or with other bytes behind it": _case(
            stored(_PIL, "MPO", quality=96, save_all=True, append_images=[_PIL.resize((16, 16))]),
            _jpeg() + bytes(3000), pixels=RGB, tolerance=NEAR,
        ),
        "WebP, lossy or lossless": _case(
            stored(RGB, "WEBP", quality=96), stored(RGB, "WEBP", lossless=True), pixels=RGB, tolerance=NEAR
        ),
        "BMP, 24 bits": _case(stored(RGB, "BMP"), pixels=RGB),
        "TIFF, 8-bit RGB: strips or tiles, any byte order, BigTIFF, usual compressions, one plane or three": _case(
            *(stored(RGB, "TIFF", compression=name) for name in compressions),
            tiff(RGB, photometric="rgb", tile=(16, 16), byteorder=">"),
            tiff(RGB, photometric="rgb", compression="zlib", predictor=2, bigtiff=True), _planar(RGB), pixels=RGB,
        ),
        "An image under the suffix of another format that is read": _case(
            _jpeg(), stored(RGB, "WEBP", quality=96), pixels=RGB, tolerance=NEAR
        ),
    }  # fmt: skip


def _warned() -> dict[str, ImageCase]:
    return {
        "A color profile that can't be read": _case(
            stored(RGB, "PNG", icc_profile=b"rubbish" * 40),
            _jpeg(icc_profile=b"rubbish" * 40),
            pixels=RGB,
            tolerance=NEAR,
        ),
        "PNG with texts or a profile of more than 1 MB": _case(_with_text(2_000_000), pixels=RGB),
        "JPEG with bytes between its pixels and its end": _case(
            _jpeg()[:-2] + b"more" + _jpeg()[-2:], pixels=RGB, tolerance=NEAR
        ),
    }


def _converted() -> dict[str, ImageCase]:
    one_bit = Image.fromarray(RGB).convert("1")
    gray_tiffs = [
        tiff(GRAY, photometric="minisblack"), tiff(255 - GRAY, photometric="miniswhite"), stored(GRAY, "TIFF"),
    ]  # fmt: skip
    return {
        "Gray PNG, JPEG or TIFF of 8 bits, also white-is-zero": _case(
            stored(GRAY, "PNG"), stored(GRAY, "JPEG", quality=97), *gray_tiffs, pixels=GRAYS, tolerance=NEAR
        ),
        "1 to 4 bits, or a palette (PNG, TIFF, BMP)": _case(
            stored(one_bit, "PNG"), stored(one_bit, "TIFF"), stored(one_bit, "BMP"), pixels=_as_rgb(one_bit)
        ),
        "16 bits: PNG, and TIFF in gray or RGB": _case(
            cv2.imencode(".png", DEEP[:, :, ::-1])[1].tobytes(), tiff(DEEP, photometric="rgb"), pixels=RGB
        ),
        "CMYK: JPEG or TIFF": _case(
            stored(_PIL.convert("CMYK"), "JPEG", quality=97, subsampling=0), stored(_PIL.convert("CMYK"), "TIFF"),
            pixels=RGB, tolerance=NEAR,
        ),
        "YCbCr or CIELab TIFF of 8 bits": _case(
            stored(_PIL.convert("YCbCr"), "TIFF"), stored(_LAB, "TIFF"), pixels=RGB, tolerance=NEAR
        ),
        "EXIF orientation": _case(
            _turned("PNG"), _turned("TIFF"), _turned("JPEG", quality=97), pixels=np.rot90(RGB, -1), tolerance=NEAR
        ),
        "A color profile": _case(
            *(stored(RGB, format, icc_profile=_swapped_profile()) for format in ("PNG", "TIFF")),
            pixels=RGB[:, :, [1, 0, 2]], tolerance=1,
        ),
        "An alpha channel that is opaque everywhere": _case(
            stored(OPAQUE, "PNG"), stored(OPAQUE, "TIFF"), pixels=RGB
        ),
        "A transparent image with `[crops] alpha = black`": _case(
            stored(GLASS, "PNG"), stored(GLASS, "TIFF"), pixels=_BLACK, tolerance=1, alpha="black"
        ),
    }  # fmt: skip


def _kinds_not_read() -> dict[str, ImageCase]:
    float_rgb = RGB / np.float32(255)
    return {
        "A transparent image: PNG, WebP or TIFF": _case(
            stored(GLASS, "PNG"), stored(GLASS, "WEBP", lossless=True), stored(GLASS, "TIFF")
        ),
        "Several frames or pages: animated PNG or WebP, TIFF": _case(*map(_frames, ("PNG", "WEBP", "TIFF"))),
        "JPEG with arithmetic codes": _case(_frame_header(_jpeg(), 0xC9)),
        "JPEG, 12 bits": _case(_frame_header(_jpeg(), 0xC1, 12)),
        "JPEG, lossless": _case(_frame_header(_jpeg(), 0xC3)),
        "BMP with unusual bit fields": _case(_odd_bitfields()),
        "TIFF of signed integers": _case(tiff((GRAY // 2).astype(np.int8)), tiff((GRAY // 2).astype(np.int16))),
        "TIFF of floating-point numbers": _case(
            tiff(float_rgb, photometric="rgb"), tiff(float_rgb[:, :, 0]), tiff(float_rgb.astype(np.float16))
        ),
        "TIFF of 6, 10, 12, 14, 24 or 32 bits": _case(*map(_packed, (6, 10, 12, 14, 24, 32))),
        "TIFF of 16 bits, planar": _case(_planar(DEEP)),
        "TIFF as LogLuv, or a camera's raw image (color filter array)": _case(
            tiff(DEEP, photometric="logluv"), tiff(DEEP[:, :, 0], photometric="cfa")
        ),
        "TIFF, big-endian BigTIFF": _case(tiff(RGB, photometric="rgb", byteorder=">", bigtiff=True)),
        "GIF, AVIF, HEIC, JPEG 2000, JPEG XL, PSD, EXR, HDR, DDS, ICO, PDF or SVG with an image's suffix": _case(
            *_FOREIGN.values()
        ),
        "More than 134 megapixels": _case(stored(Image.new("1", (12_000, 12_000)), "PNG")),
    }  # fmt: skip


def _damaged() -> dict[str, ImageCase]:
    whole = {
        "PNG": [stored(RGB, "PNG")],
        "JPEG": [_jpeg()],
        "WebP": [stored(RGB, "WEBP", quality=90)],
        "BMP or TIFF": [stored(RGB, "BMP"), stored(RGB, "TIFF")],
    }
    cut = {
        f"{kind}, cut off": _case(*(one[: len(one) * part // 9] for one in contents for part in (4, 6, 8)))
        for kind, contents in whole.items()
    }
    return cut | {
        "PNG with a flipped bit": _case(
            *(_flip_bit(stored(one, "PNG")) for one in (RGB, GRAY, OPAQUE, _PALETTE))
        ),
        "JPEG that ends early behind an end marker": _case(
            _ended_early(_jpeg()), _ended_early(stored(GRAY, "JPEG")),
            _ended_early(stored(_PIL.convert("CMYK"), "JPEG")),
        ),
    }  # fmt: skip


def _no_images() -> dict[str, ImageCase]:
    return {
        "Empty": _case(b""),
        "Zeros, as after a power cut": _case(bytes(5000)),
        "A Git LFS pointer": _case(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
        "A git-annex pointer": _case(b"/annex/objects/SHA256E-s1234--00.png\n"),
        "An HTML page": _case(b"<!DOCTYPE html><title>404</title>", b"<html><body>Log in</body></html>"),
        "An XML or JSON message of a server": _case(b'<?xml version="1.0"?><Error/>', b'{"error": "limit"}'),
        "What macOS keeps about an image (AppleDouble)": _case(b"\0\5\x16\7" + bytes(80)),
        "An archive": _case(zipped({"a.png": IMAGE}), make_tar({"a.png": IMAGE}), gzip.compress(bytes(99))),
        "Anything else": _case(b"hello"),
    }


def fill_folder(root: Path) -> dict[str, str]:
    """Write a folder of everything but images; return the text of each row's first cell, by the file's id."""
    (root / "real.png").write_bytes(encoded_image(1))
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "more.png").write_bytes(encoded_image(2))
    (root / "linked.png").symlink_to(outside / "more.png")
    (root / "second.png").symlink_to(root / "real.png")
    (root / "linked-folder").symlink_to(outside)
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "lost.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "pipe.png")
    (root / ".hidden.png").write_bytes(encoded_image(3))
    for name in (
        "notes.txt",
        "a.gif",
        "b.heic",
        "c.cr2",
        "d.dng",
        "e.psd",
        "f.svg",
        "g.exr",
        "h.avif",
        "i.jxl",
    ):
        (root / name).write_bytes(b"anything")
    (root / "clip.mp4").write_bytes(b"anything")
    (root / "more.zip").write_bytes(b"anything")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.png")).write_bytes(encoded_image(4))
    own = "Another format under its own suffix: GIF, HEIC, AVIF, JPEG XL, raw, PSD, SVG, EXR …"
    return {
        "linked.png": "A link to a file",
        "second.png": "A second link to the same file",
        "linked-folder": "A link to a folder",
        "loop.png": "A link to itself",
        "lost.png": "A link to an image that is not there",
        "pipe.png": "A pipe, a device or a socket",
        ".hidden.png": "A hidden file",
        "notes.txt": "Text, or anything without an image's suffix",
        **{f"{letter}.{end}": own for letter, end in zip(
            "abcdefghi", ("gif", "heic", "cr2", "dng", "psd", "svg", "exr", "avif", "jxl"), strict=True)},
        "clip.mp4": "A video beside more images",
        "more.zip": "An archive",
        "caf\\xe9.png": "A name that is not UTF-8",
    }  # fmt: skip


IMAGE = encoded_image(1)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED, **options: bool) -> bytes:
    """Return a zip of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            with archive.open(name, "w", **options) as member:
                member.write(content)
    return buffer.getvalue()


def _edited(content: bytes, signature: bytes, at: int, value: bytes) -> bytes:
    """Return bytes with others at a place behind the last occurrence of a signature."""
    place = content.rindex(signature) + at
    return content[:place] + value + content[place + len(value) :]


def _zip_of_a_link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("a.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, b"/etc/passwd")
    return buffer.getvalue()


_CENTRAL, _END = b"PK\1\2", b"PK\5\6"
_PLAIN_ZIP = zipped({"a.png": IMAGE})


def zip_cases() -> dict[str, list[bytes]]:
    """Return zips of each row; the first member of each is what the row is about."""
    four = zipped({f"{number}.png": encoded_image(number) for number in range(4)})
    return {
        "A zip, stored or deflated": [_PLAIN_ZIP, zipped({"a.png": IMAGE}, zipfile.ZIP_DEFLATED)],
        "Zip64": [zipped({"a.png": IMAGE}, force_zip64=True)],
        "Bytes before the zip, as in a self-extracting one": [b"#!/bin/sh\n" * 50 + _PLAIN_ZIP],
        "Backslashes in names, as PowerShell writes them": [zipped({"scene\\a.png": IMAGE})],
        "Names that are not UTF-8": [zipped({"a??.png": IMAGE}).replace(b"a??.png", b"a\x82\xff.png")],
        "A tar under the name .zip": [make_tar({"a.png": IMAGE})],
        "An encrypted member": [_edited(_PLAIN_ZIP, _CENTRAL, 8, b"\1")],
        "Another compression than deflate: bzip2, LZMA, zstd …": [
            zipped({"a.png": IMAGE}, zipfile.ZIP_BZIP2), zipped({"a.png": IMAGE}, zipfile.ZIP_LZMA),
            _edited(_PLAIN_ZIP, _CENTRAL, 10, struct.pack("<H", 93)),
        ],
        "A name that leads out of the archive": [zipped({"../a.png": IMAGE}), zipped({"/a.png": IMAGE})],
        "A link in a zip": [_zip_of_a_link()],
        "A member with a wrong CRC": [_edited(_PLAIN_ZIP, _CENTRAL, 16, b"\0\0\0\0")],
        "An archive inside a zip": [
            zipped({name: b"x"}) for name in ("a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.7z")
        ],
        "One part of a split zip": [_edited(_PLAIN_ZIP, _END, 4, struct.pack("<HH", 1, 1))],
        "A zip that is cut off": [four[:-30], four[: len(four) // 2]],
        "A zip whose count of members is wrong": [_edited(four, _END, 8, struct.pack("<HH", 2, 2))],
        "Two zips in one file": [_PLAIN_ZIP + four],
        "A zip that is another file: empty, HTML, LFS pointer, RAR, 7z": [
            b"", b"<!DOCTYPE html><title>404</title>", b"version https://git-lfs.github.com/spec/v1\noid", b"Rar!\x1a",
            b"7z\xbc\xaf\x27\x1c" + bytes(50),
        ],
    }  # fmt: skip


def tar_cases() -> dict[str, list[tuple[str, bytes]]]:
    """Return tars of each row, each with the end of its name; the first member is what the row is about."""
    whole = make_tar({"a.png": IMAGE, "b.png": encoded_image(2)})
    marks = bytes(1024)
    formats = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)

    def member(kind: bytes, content: bytes = b"", name: str = "a.png", **fields: object) -> tuple[str, bytes]:
        return (".tar", tar_member(name, content, kind, **fields) + marks)

    return {
        "A tar: ustar, GNU or pax": [(".tar", make_tar({"a.png": IMAGE}, one)) for one in formats],
        "A tar compressed by gzip": [(end, gzip.compress(whole)) for end in (".tar.gz", ".tgz", ".tar")],
        "A tar inside a tar": [(".tar", make_tar({"n1.tar": whole}))],
        "Names that are not UTF-8 in a tar": [(".tar", _latin_tar())],
        "A tar inside a tar inside a tar": [(".tar", make_tar({"n1.tar": make_tar({"n2.tar": whole})}))],
        "Another archive inside a tar": [
            (".tar", make_tar({name: b"x"})) for name in ("a.zip", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.zst", "a.7z")
        ],
        "A symbolic or hard link, a device or a pipe": [
            member(kind) for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
        ],
        "A member name that leads out of the tar": [(".tar", make_tar({"../a.png": IMAGE}))],
        "A sparse image": [member(b"S", bytes(512)), member(b"0", b"x", pax_headers={"GNU.sparse.major": "1"})],
        "A volume label": [member(b"V", name="label")],
        "Bytes behind the end of a tar": [(".tar", whole + b"signature" * 60)],
        "A hole of zeros": [(".tar", whole + bytes(51_000))],
        "A tar that is cut off": [(".tar", whole[:700]), (".tar.gz", gzip.compress(whole)[:-40])],
        "A tar with a damaged header": [(".tar", b"b" + whole[1:])],
        "A tar compressed by xz, bzip2 or zstd under the name .tar": [
            (".tar", lzma.compress(whole)), (".tar", bz2.compress(whole)), (".tar", b"\x28\xb5\x2f\xfd" + bytes(300)),
        ],
        "A zip under the name .tar": [(".tar", _PLAIN_ZIP)],
        "A tar that is another file: empty, HTML, LFS pointer": [
            (".tar", b""), (".tar", b"<html></html>"),
            (".tar", b"version https://git-lfs.github.com/spec/v1\noid"),
        ],
    }  # fmt: skip


def path_cases() -> dict[str, dict[str, bytes]]:
    """Return, for each row, the files of a folder; where the first is alone, its own path is the dataset."""
    compressed = ("a.7z", "a.rar", "a.tar.xz", "a.tar.bz2", "a.tar.zst", "a.gz", "a.iso")
    return {
        "One image": {"a.png": IMAGE},
        "Another archive: .7z, .rar, .tar.xz, .tar.bz2, .tar.zst, .gz, .iso": dict.fromkeys(compressed, b"x"),
        "A folder with more images than videos": {"a.png": IMAGE, "b.png": IMAGE, "c.mp4": b"x"},
        "A folder with more videos than images": {"a.mp4": b"x" * 5000, "b.mov": b"x" * 5000, "c.png": IMAGE},
    }


def _latin_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        info = tarfile.TarInfo("caf\xe9.png")
        info.size = len(IMAGE)
        tar.addfile(info, io.BytesIO(IMAGE))
    return buffer.getvalue()
