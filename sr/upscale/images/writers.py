"""Encoders that take an image row by row: PNG and TIFF write rows at once, JPEG and WebP collect the whole image.

Equal pixels give equal bytes. `sr.upscale.images.jobs` chooses the format of each result.
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
import numpy.typing as npt
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from data.imaging.image_warnings import warn
from data.imaging.original import KEPT_TAGS, SUB_DIRECTORIES, OriginalImage, encode_tag_text
from data.records import WarningReason

_SAME_FORMAT = {
    **dict.fromkeys((".jpeg", ".jfif", ".jpe", ".jif"), ".jpg"),
    ".tiff": ".tif",
    ".apng": ".png",
}
_STRIP_ROWS = 64
_PNG_LEVEL = 3
_PNG_COLORS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG color type by number of channels: gray, gray and alpha, RGB, RGBA. Source: PNG specification, 11.2.2."""
_TIFF, _BIG_TIFF = b"II*\0\x08\0\0\0", b"II+\0\x08\0\0\0\x10" + bytes(7)
_CLASSIC_TIFF_BYTES = 4_000_000_000
"""Largest size of the pixels in a classic TIFF. Its offsets have 32 bits, and incompressible data grows a little."""
_STRIP_OFFSETS, _STRIP_SIZES = 273, 279
_SEGMENT_BYTES = 65533
_ICC_HEADER = b"ICC_PROFILE\0"

_Rows = npt.NDArray[Any]
"""uint8 or uint16, height x width x channels."""


class Writer(abc.ABC):
    """Base class: takes the rows of an image from top to bottom, and writes the file."""

    def __init__(self, file: IO[bytes], height: int) -> None:
        self._file, self._rows_left = file, height

    def add(self, rows: _Rows) -> None:
        """Add the next rows, with the dtype that `open_writer` was given."""
        self._rows_left -= len(rows)
        self._add(rows)

    def finish(self) -> None:
        """Write the rest of the file.

        Raises:
            ValueError: rows are missing.
        """
        if self._rows_left:
            raise ValueError(f"Expected all rows of the image, got {self._rows_left} too few.")
        self._finish()

    @abc.abstractmethod
    def _add(self, rows: _Rows) -> None: ...

    @abc.abstractmethod
    def _finish(self) -> None: ...


def format_of_suffix(suffix: str) -> str:
    """Return the usual suffix of the format that a file name's suffix stands for: ".jpg" for ".JFIF"."""
    return _SAME_FORMAT.get(suffix.lower(), suffix.lower())


def holds_whole_image(suffix: str) -> bool:
    """Return whether the writer for a format keeps the whole image in memory."""
    return suffix in (".jpg", ".webp")


def open_writer(
    suffix: str,
    file: IO[bytes],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    source: OriginalImage,
    quality: int,
) -> Writer:
    """Return a writer for an image file.

    Args:
        suffix: what `format_of_suffix` returned: .png, .jpg, .webp or .tif.
        file: open for writing, at its start.
        shape: height, width and channels (1 gray, 2 gray and alpha, 3 RGB, 4 RGBA).
        dtype: uint8; for PNG and TIFF also uint16.
        source: the original, whose profile, EXIF and PNG chunks are kept.
        quality: of JPEG and WebP, 1 to 100.
    """
    if suffix == ".png":
        return PngWriter(file, shape, dtype, source)
    if holds_whole_image(suffix):
        return ArrayWriter(suffix, file, shape, dtype, source, quality)
    return TiffWriter(file, shape, dtype, source)


class PngWriter(Writer):
    """Writes a PNG: filters and compresses strips of rows; keeps one row of the image and zlib's state in memory."""

    def __init__(
        self, file: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype[Any], source: OriginalImage
    ) -> None:
        height, width, channels = shape
        super().__init__(file, height)
        self._pixel_bytes = channels * dtype.itemsize
        self._previous_row = np.zeros(width * self._pixel_bytes, np.uint8)
        self._deflate = zlib.compressobj(_PNG_LEVEL)
        file.write(b"\x89PNG\r\n\x1a\n")
        head = struct.pack(">LLBBBBB", width, height, 8 * dtype.itemsize, _PNG_COLORS[channels], 0, 0, 0)
        self._write_chunk(b"IHDR", head)
        for chunk in source.png_chunks:
            self._write_chunk(*chunk)
        if source.icc:
            self._write_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(source.icc))
        if source.exif:
            self._write_chunk(b"eXIf", source.exif)

    def _add(self, rows: _Rows) -> None:
        for top in range(0, len(rows), _STRIP_ROWS):
            strip = np.ascontiguousarray(rows[top : top + _STRIP_ROWS])
            stored = strip.byteswap() if strip.itemsize == 2 else strip  # PNG's 16 bits are big-endian
            bytes_ = stored.view(np.uint8).reshape(len(strip), -1)
            self._write_idat(self._deflate.compress(self._filter_rows(bytes_).tobytes()))
            self._previous_row = bytes_[-1].copy()

    def _finish(self) -> None:
        self._write_idat(self._deflate.flush())
        self._write_chunk(b"IEND", b"")

    def _filter_rows(self, rows: _Rows) -> npt.NDArray[np.uint8]:
        """Filter each row with Sub or Up, whichever gives the smaller sum. Source: PNG specification, 12.7."""
        up = rows - np.vstack([self._previous_row[None], rows[:-1]])
        sub = rows.copy()
        sub[:, self._pixel_bytes :] -= rows[:, : -self._pixel_bytes]
        costs = [np.abs(one.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for one in (sub, up)]
        is_up = costs[1] < costs[0]
        filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        filtered[:, 0] = 1 + is_up
        np.copyto(filtered[:, 1:], sub)
        filtered[is_up, 1:] = up[is_up]
        return filtered

    def _write_idat(self, compressed: bytes) -> None:
        if compressed:
            self._write_chunk(b"IDAT", compressed)

    def _write_chunk(self, name: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">L", len(content)) + name + content)
        self._file.write(struct.pack(">L", zlib.crc32(content, zlib.crc32(name))))


class TiffWriter(Writer):
    """Writes a TIFF: compresses strips of rows and keeps less than one strip in memory. BigTIFF for very large images.

    The directory comes before the strips. It is written twice: at first without, at the end with their offsets.
    Source: TIFF 6.0; Adobe Photoshop TIFF Technical Notes (compression 8).
    """

    def __init__(
        self, file: IO[bytes], shape: tuple[int, int, int], dtype: np.dtype[Any], source: OriginalImage
    ) -> None:
        height, width, channels = shape
        super().__init__(file, height)
        is_big = math.prod(shape) * dtype.itemsize > _CLASSIC_TIFF_BYTES
        self._header = _BIG_TIFF if is_big else _TIFF
        self._pending = np.empty((0, width, channels), dtype)
        self._sizes: list[int] = []
        self._tags = ImageFileDirectory_v2(self._header)
        if is_big:
            self._tags.tagtype |= {_STRIP_OFFSETS: TiffTags.LONG8, _STRIP_SIZES: TiffTags.LONG8}
        self._tags.update({
            256: width, 257: height, 258: (8 * dtype.itemsize,) * channels, 259: 8, 262: 2 if channels > 2 else 1,
            277: channels, 278: _STRIP_ROWS, 284: 1,
        })  # fmt: skip
        if channels in (2, 4):
            self._tags[338] = 2  # alpha, not premultiplied
        self._copy_metadata(source)
        self._write_directory([0] * -(-height // _STRIP_ROWS))

    def _copy_metadata(self, source: OriginalImage) -> None:
        if source.icc:
            self._tags[34675] = source.icc
        exif = Image.Exif()
        exif.load(source.exif)
        for tag in KEPT_TAGS & set(exif):
            self._tags[tag] = encode_tag_text(exif[tag])
        for tag in SUB_DIRECTORIES:
            if exif.get_ifd(tag):
                self._tags[tag] = exif.get_ifd(tag)

    def _write_directory(self, sizes: list[int]) -> None:
        # Pillow adds the length of the directory to these offsets.
        self._tags[_STRIP_OFFSETS] = tuple(itertools.accumulate(sizes[:-1], initial=0))
        self._tags[_STRIP_SIZES] = tuple(sizes)
        self._file.write(self._header + self._tags.tobytes(len(self._header)))

    def _add(self, rows: _Rows) -> None:
        for start in range(0, len(rows), _STRIP_ROWS):
            self._pending = np.concatenate([self._pending, rows[start : start + _STRIP_ROWS]])
            if len(self._pending) >= _STRIP_ROWS:
                self._write_strip(self._pending[:_STRIP_ROWS])
                self._pending = self._pending[_STRIP_ROWS:]

    def _write_strip(self, strip: _Rows) -> None:
        compressed = zlib.compress(strip.astype(strip.dtype.newbyteorder("<")).tobytes())
        self._sizes.append(len(compressed))
        self._file.write(compressed)

    def _finish(self) -> None:
        if len(self._pending):
            self._write_strip(self._pending)
        self._file.seek(0)
        self._write_directory(self._sizes)


class ArrayWriter(Writer):
    """Writes a JPEG or WebP: collects the image in one array, in the layout that the encoder takes."""

    def __init__(
        self,
        suffix: str,
        file: IO[bytes],
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        source: OriginalImage,
        quality: int,
    ) -> None:
        super().__init__(file, shape[0])
        self._suffix, self._icc, self._exif, self._quality = suffix, source.icc, source.exif, quality
        self._is_jpeg, self._has_alpha = suffix == ".jpg", shape[2] in (2, 4)
        self._is_lossless = source.is_lossless_webp
        channels = shape[2] if self._is_jpeg else 3 + self._has_alpha  # WebP has no gray
        self._image, self._filled = np.empty((*shape[:2], channels), dtype), 0

    def _add(self, rows: _Rows) -> None:
        target = self._image[self._filled : self._filled + len(rows)]
        # OpenCV's channel order is B, G, R.
        target[:, :, :3] = rows[:, :, 2::-1] if rows.shape[2] > 2 else rows[:, :, :1]
        if self._has_alpha:
            target[:, :, 3] = rows[:, :, -1]
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
        encoded = cv2.imencode(".jpg", self._image, options)[1].data
        jfif = 4 + int.from_bytes(encoded[4:6], "big")  # the encoder's own first segment must stay first
        self._file.write(encoded[:jfif])
        for segment in self._make_jpeg_segments():
            self._file.write(segment)
        self._file.write(encoded[jfif:])

    def _make_jpeg_segments(self) -> Iterator[bytes]:
        """Yield the EXIF segment (APP1) and those of the profile (APP2). Sources: Exif 2.32, 4.7.2; ICC.1:2022, B.4."""
        exif = b"Exif\0\0" + self._exif
        if len(exif) > _SEGMENT_BYTES:
            detail = f"EXIF of {len(exif):,} bytes, but a JPEG takes {_SEGMENT_BYTES:,}: left out"
            warn(WarningReason.LARGE_METADATA, detail)
        elif self._exif:
            yield b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        size = _SEGMENT_BYTES - len(_ICC_HEADER) - 2
        parts = [self._icc[at : at + size] for at in range(0, len(self._icc), size)]
        for number, part in enumerate(parts, 1):
            content = _ICC_HEADER + bytes([number, len(parts)]) + part
            yield b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content

    def _write_webp(self) -> None:
        if self._is_lossless:
            pixels = self._image[:, :, [2, 1, 0, 3][: self._image.shape[2]]]
            Image.fromarray(pixels).save(
                self._file, "WEBP", lossless=True, exact=True, icc_profile=self._icc, exif=self._exif
            )
            return
        contents = {cv2.IMAGE_METADATA_EXIF: self._exif, cv2.IMAGE_METADATA_ICCP: self._icc}
        kept = {kind: np.frombuffer(content, np.uint8) for kind, content in contents.items() if content}
        options = [cv2.IMWRITE_WEBP_QUALITY, self._quality]
        _, encoded = cv2.imencodeWithMetadata(".webp", self._image, list(kept), list(kept.values()), options)
        self._file.write(encoded.data)
