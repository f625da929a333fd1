"""Enlarged pictures to files, row by row as they are made: PNG and nothing held; JPEG, WebP and TIFF from one array.

Equal pixels give equal bytes. Which file becomes which is `sr.upscale.naming`'s to say.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import IO, Any, Protocol

import cv2
import numpy as np
from PIL import Image

_STRIP_ROWS = 64
_PNG_LEVEL = 3
_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type by channels: grey, grey and alpha, RGB, RGBA. Source: PNG specification, 11.2.2."""
_SEGMENT_BYTES = 65533
_ICC_HEADER = b"ICC_PROFILE\0"


class Writer(Protocol):
    """Takes the rows of a picture from the top, and writes the file."""

    def add(self, rows: np.ndarray) -> None:
        """Take the next rows: height x width x channels, of the type that the writer was made for."""

    def finish(self) -> None:
        """Write what is left to write; all rows have been added."""


def open_writer(
    suffix: str,
    file: IO[bytes],
    shape: tuple[int, int, int],
    kind: np.dtype[Any],
    icc: bytes,
    exif: bytes,
    quality: int,
) -> Writer:
    """Return the writer of a picture.

    Args:
        suffix: .png, .jpg, .jpeg, .webp, .tif or .tiff.
        file: to write to.
        shape: height, width and channels (1 grey, 2 with alpha, 3 RGB, 4 with alpha).
        kind: uint8, or uint16 for PNG and TIFF.
        icc: the colour profile; empty: none.
        exif: as `data.stored` gives it; a TIFF does not keep it.
        quality: of JPEG and WebP, 1 to 100.
    """
    if suffix == ".png":
        return PngWriter(file, shape, kind, icc, exif)
    return ArrayWriter(suffix, file, shape, kind, icc, exif, quality)


class PngWriter:
    """Filters and compresses strips of rows; holds one row of the picture and what zlib holds."""

    def __init__(
        self, file: IO[bytes], shape: tuple[int, int, int], kind: np.dtype[Any], icc: bytes, exif: bytes
    ) -> None:
        height, width, channels = shape
        self._file, self._pixel_bytes = file, channels * kind.itemsize
        self._above = np.zeros(width * self._pixel_bytes, np.uint8)
        self._deflate = zlib.compressobj(_PNG_LEVEL)
        file.write(b"\x89PNG\r\n\x1a\n")
        head = struct.pack(">LLBBBBB", width, height, 8 * kind.itemsize, _PNG_COLOURS[channels], 0, 0, 0)
        self._chunk(b"IHDR", head)
        if icc:
            self._chunk(b"iCCP", b"ICC\0\0" + zlib.compress(icc))
        if exif:
            self._chunk(b"eXIf", exif)

    def add(self, rows: np.ndarray) -> None:
        """Take the next rows."""
        for top in range(0, len(rows), _STRIP_ROWS):
            strip = np.ascontiguousarray(rows[top : top + _STRIP_ROWS])
            stored = strip.byteswap() if strip.itemsize == 2 else strip  # PNG's 16 bits are big-endian
            bytes_ = stored.view(np.uint8).reshape(len(strip), -1)
            self._write(self._deflate.compress(self._filtered(bytes_).tobytes()))
            self._above = bytes_[-1].copy()

    def finish(self) -> None:
        """Write the end."""
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


class ArrayWriter:
    """Gathers the picture in one array, which the encoder takes as it is: JPEG and TIFF make no copy of it."""

    def __init__(
        self,
        suffix: str,
        file: IO[bytes],
        shape: tuple[int, int, int],
        kind: np.dtype[Any],
        icc: bytes,
        exif: bytes,
        quality: int,
    ) -> None:
        self._suffix, self._file, self._icc, self._exif, self._quality = suffix, file, icc, exif, quality
        self._whole, self._filled = np.empty(shape, kind), 0
        self._is_jpeg = suffix in (".jpg", ".jpeg")

    def add(self, rows: np.ndarray) -> None:
        """Take the next rows."""
        place = self._whole[self._filled : self._filled + len(rows)]
        place[:] = rows[:, :, ::-1] if self._is_jpeg else rows  # OpenCV's order is blue, green, red
        self._filled += len(rows)

    def finish(self) -> None:
        """Encode."""
        if self._is_jpeg:
            self._write_jpeg()
        elif self._suffix == ".webp":
            self._write_webp()
        else:
            self._write_tiff()

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
        picture = self._whole[:, :, 0] if self._whole.shape[2] == 1 else self._whole
        image = Image.fromarray(picture)
        image.save(
            self._file, "WEBP", quality=self._quality, icc_profile=self._icc or None, exif=self._exif or b""
        )

    def _write_tiff(self) -> None:
        import tifffile

        channels = self._whole.shape[2]
        tifffile.imwrite(
            tifffile.FileHandle(self._file, name="enlarged.tif"),  # the file's own name is a number
            self._whole if channels > 1 else self._whole[:, :, 0],
            photometric="rgb" if channels > 2 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
            compression="zlib",
            rowsperstrip=_STRIP_ROWS,
            iccprofile=self._icc or None,
            metadata=None,
            software=False,
        )
