"""Upscaled images to files, row by row as they are made: PNG and TIFF hold nothing, JPEG and WebP one array.

Equal pixels give equal bytes. Which file becomes which is `sr.upscale.images.jobs`'s to say.
"""

import abc
import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from typing import IO, Any

import cv2
import numpy as np
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from data.imaging.original import KEPT_TAGS, SUB_DIRECTORIES, StoredImage, text_bytes

_STRIP_ROWS = 64
_PNG_LEVEL = 3
_PNG_COLORS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's color type by channels: gray, gray and alpha, RGB, RGBA. Source: PNG specification, 11.2.2."""
_TIFF, _BIG_TIFF = b"II*\0\x08\0\0\0", b"II+\0\x08\0\0\0\x10" + bytes(7)
_CLASSIC_TIFF_BYTES = 4_000_000_000
"""Of pixels. A TIFF's places have 32 bits, and what does not compress becomes a little larger."""
_STRIP_OFFSETS, _STRIP_SIZES = 273, 279
_SEGMENT_BYTES = 65533
_ICC_HEADER = b"ICC_PROFILE\0"


class Writer(abc.ABC):
    """Takes the rows of an image from the top, and writes the file."""

    def __init__(self, file: IO[bytes], height: int) -> None:
        self._file, self._missing = file, height

    def add(self, rows: np.ndarray) -> None:
        """Take the next rows: height x width x channels, of the type that the writer was made for."""
        self._missing -= len(rows)
        self._add(rows)

    def finish(self) -> None:
        """Write what is left to write.

        Raises:
            ValueError: not as many rows as the image has were added.
        """
        if self._missing:
            raise ValueError(f"Expected all rows of the image, got {self._missing} too few.")
        self._finish()

    @abc.abstractmethod
    def _add(self, rows: np.ndarray) -> None: ...

    @abc.abstractmethod
    def _finish(self) -> None: ...


def gathers(suffix: str) -> bool:
    """Return whether the writer of such a file holds the whole image."""
    return suffix in (".jpg", ".jpeg", ".webp")


def open_writer(
    suffix: str,
    file: IO[bytes],
    shape: tuple[int, int, int],
    kind: np.dtype[Any],
    source: StoredImage,
    quality: int,
) -> Writer:
    """Return the writer of an image.

    Args:
        suffix: .png, .jpg, .jpeg, .webp, .tif or .tiff.
        file: to write to, from its start.
        shape: height, width and channels (1 gray, 2 with alpha, 3 RGB, 4 with alpha).
        kind: uint8, or uint16 for PNG and TIFF.
        source: whose profile, EXIF and chunks are kept.
        quality: of JPEG and WebP, 1 to 100.
    """
    if suffix == ".png":
        return PngWriter(file, shape, kind, source)
    if gathers(suffix):
        return ArrayWriter(suffix, file, shape, kind, source, quality)
    return TiffWriter(file, shape, kind, source)


class PngWriter(Writer):
    """Filters and compresses strips of rows; holds one row of the image and what zlib holds."""

    def __init__(
        self, file: IO[bytes], shape: tuple[int, int, int], kind: np.dtype[Any], source: StoredImage
    ) -> None:
        height, width, channels = shape
        super().__init__(file, height)
        self._pixel_bytes = channels * kind.itemsize
        self._above = np.zeros(width * self._pixel_bytes, np.uint8)
        self._deflate = zlib.compressobj(_PNG_LEVEL)
        file.write(b"\x89PNG\r\n\x1a\n")
        head = struct.pack(">LLBBBBB", width, height, 8 * kind.itemsize, _PNG_COLORS[channels], 0, 0, 0)
        self._chunk(b"IHDR", head)
        for chunk in source.png_chunks:
            self._chunk(*chunk)
        if source.icc:
            self._chunk(b"iCCP", b"ICC\0\0" + zlib.compress(source.icc))
        if source.exif:
            self._chunk(b"eXIf", source.exif)

    def _add(self, rows: np.ndarray) -> None:
        for top in range(0, len(rows), _STRIP_ROWS):
            strip = np.ascontiguousarray(rows[top : top + _STRIP_ROWS])
            stored = strip.byteswap() if strip.itemsize == 2 else strip  # PNG's 16 bits are big-endian
            bytes_ = stored.view(np.uint8).reshape(len(strip), -1)
            self._write(self._deflate.compress(self._filtered(bytes_).tobytes()))
            self._above = bytes_[-1].copy()

    def _finish(self) -> None:
        self._write(self._deflate.flush())
        self._chunk(b"IEND", b"")

    def _filtered(self, rows: np.ndarray) -> np.ndarray:
        """Filter each row by Sub or Up, whichever leaves less. Source: PNG specification, 12.7."""
        up = rows - np.vstack([self._above[None], rows[:-1]])
        sub = rows.copy()
        sub[:, self._pixel_bytes :] -= rows[:, : -self._pixel_bytes]
        costs = [np.abs(one.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for one in (sub, up)]
        is_up = costs[1] < costs[0]
        made = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        made[:, 0] = 1 + is_up
        np.copyto(made[:, 1:], sub)
        made[is_up, 1:] = up[is_up]
        return made

    def _write(self, compressed: bytes) -> None:
        if compressed:
            self._chunk(b"IDAT", compressed)

    def _chunk(self, name: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">L", len(content)) + name + content)
        self._file.write(struct.pack(">L", zlib.crc32(content, zlib.crc32(name))))


class TiffWriter(Writer):
    """Compresses strips of rows; holds less than one strip. BigTIFF where the pixels might need it.

    The directory stands before the strips, and is written again, with their places, when they are there.
    Source: TIFF 6.0; Adobe Photoshop TIFF Technical Notes (compression 8).
    """

    def __init__(
        self, file: IO[bytes], shape: tuple[int, int, int], kind: np.dtype[Any], source: StoredImage
    ) -> None:
        height, width, channels = shape
        super().__init__(file, height)
        is_big = math.prod(shape) * kind.itemsize > _CLASSIC_TIFF_BYTES
        self._header = _BIG_TIFF if is_big else _TIFF
        self._waiting = np.empty((0, width, channels), kind)
        self._sizes: list[int] = []
        self._tags = ImageFileDirectory_v2(self._header)
        if is_big:
            self._tags.tagtype |= {_STRIP_OFFSETS: TiffTags.LONG8, _STRIP_SIZES: TiffTags.LONG8}
        self._tags.update({
            256: width, 257: height, 258: (8 * kind.itemsize,) * channels, 259: 8, 262: 2 if channels > 2 else 1,
            277: channels, 278: _STRIP_ROWS, 284: 1,
        })  # fmt: skip
        if channels in (2, 4):
            self._tags[338] = 2  # alpha, not premultiplied
        self._describe(source)
        self._write_directory([0] * -(-height // _STRIP_ROWS))

    def _describe(self, source: StoredImage) -> None:
        if source.icc:
            self._tags[34675] = source.icc
        known = Image.Exif()
        known.load(source.exif)
        for tag in KEPT_TAGS & set(known):
            self._tags[tag] = text_bytes(known[tag])
        for tag in SUB_DIRECTORIES:
            if known.get_ifd(tag):
                self._tags[tag] = known.get_ifd(tag)

    def _write_directory(self, sizes: list[int]) -> None:
        # Places are told from the end of what tobytes gives.
        self._tags[_STRIP_OFFSETS] = tuple(itertools.accumulate(sizes[:-1], initial=0))
        self._tags[_STRIP_SIZES] = tuple(sizes)
        self._file.write(self._header + self._tags.tobytes(len(self._header)))

    def _add(self, rows: np.ndarray) -> None:
        for start in range(0, len(rows), _STRIP_ROWS):
            self._waiting = np.concatenate([self._waiting, rows[start : start + _STRIP_ROWS]])
            if len(self._waiting) >= _STRIP_ROWS:
                self._write_strip(self._waiting[:_STRIP_ROWS])
                self._waiting = self._waiting[_STRIP_ROWS:]

    def _write_strip(self, strip: np.ndarray) -> None:
        compressed = zlib.compress(strip.astype(strip.dtype.newbyteorder("<")).tobytes())
        self._sizes.append(len(compressed))
        self._file.write(compressed)

    def _finish(self) -> None:
        if len(self._waiting):
            self._write_strip(self._waiting)
        self._file.seek(0)
        self._write_directory(self._sizes)


class ArrayWriter(Writer):
    """Gathers the image in one array, which the encoder takes as it is."""

    def __init__(
        self,
        suffix: str,
        file: IO[bytes],
        shape: tuple[int, int, int],
        kind: np.dtype[Any],
        source: StoredImage,
        quality: int,
    ) -> None:
        super().__init__(file, shape[0])
        self._suffix, self._icc, self._exif, self._quality = suffix, source.icc, source.exif, quality
        self._is_jpeg, self._has_alpha = suffix in (".jpg", ".jpeg"), shape[2] in (2, 4)
        channels = shape[2] if self._is_jpeg else 3 + self._has_alpha  # WebP has no gray
        self._whole, self._filled = np.empty((*shape[:2], channels), kind), 0

    def _add(self, rows: np.ndarray) -> None:
        place = self._whole[self._filled : self._filled + len(rows)]
        place[:, :, :3] = (
            rows[:, :, 2::-1] if rows.shape[2] > 2 else rows[:, :, :1]
        )  # OpenCV's order is B, G, R
        if self._has_alpha:
            place[:, :, 3] = rows[:, :, -1]
        self._filled += len(rows)

    def _finish(self) -> None:
        if self._is_jpeg:
            self._write_jpeg()
        else:
            self._write_webp()

    def _write_jpeg(self) -> None:
        options = [
            cv2.IMWRITE_JPEG_QUALITY, self._quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]  # fmt: skip
        encoded = memoryview(cv2.imencode(".jpg", self._whole, options)[1])
        jfif = 4 + int.from_bytes(encoded[4:6], "big")  # the encoder's own first segment stays first
        self._file.write(encoded[:jfif])
        for segment in self._jpeg_segments():
            self._file.write(segment)
        self._file.write(encoded[jfif:])

    def _jpeg_segments(self) -> Iterator[bytes]:
        """Yield APP1 with EXIF and the APP2 of the profile. Sources: Exif 2.32, 4.7.2; ICC.1:2022, B.4."""
        exif = b"Exif\0\0" + self._exif
        if self._exif and len(exif) <= _SEGMENT_BYTES:
            yield b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        size = _SEGMENT_BYTES - len(_ICC_HEADER) - 2
        parts = [self._icc[at : at + size] for at in range(0, len(self._icc), size)]
        for number, part in enumerate(parts, 1):
            content = _ICC_HEADER + bytes([number, len(parts)]) + part
            yield b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content

    def _write_webp(self) -> None:
        kept = {cv2.IMAGE_METADATA_EXIF: self._exif, cv2.IMAGE_METADATA_ICCP: self._icc}
        kept = {kind: np.frombuffer(content, np.uint8) for kind, content in kept.items() if content}
        options = [cv2.IMWRITE_WEBP_QUALITY, self._quality]
        _, encoded = cv2.imencodeWithMetadata(".webp", self._whole, list(kept), list(kept.values()), options)
        self._file.write(memoryview(encoded))
