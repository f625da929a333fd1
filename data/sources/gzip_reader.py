"""Read a gzip file at any position. States of the decompressor are kept on the way, so going back is cheap.

Each state takes about 50 KB of memory. Nothing is written to disk. Only one thread reads at a time.
"""

import os
import threading
import zlib
from dataclasses import dataclass
from typing import Any

from data.exhaustion import raise_if_exhausted

_INPUT_BYTES = 1 << 16
_OUTPUT_BYTES = 1 << 20
_MOST_FOREIGN_BYTES = 10_240
"""More than this after the end is damage, as after the end of a tar."""
_SPACING_BYTES = 8 << 20
"""Uncompressed bytes between two kept states."""


class GzipFault(Exception):
    """The file is damaged or cut off."""


@dataclass
class _State:
    """A position from which decompression can continue."""

    offset: int
    """In the uncompressed content."""
    file_offset: int
    """In the file: of the next byte to feed to the decompressor."""
    engine: Any
    """zlib's decompressor, which holds the bytes that it has not used yet."""

    def copy(self) -> "_State":
        return _State(self.offset, self.file_offset, self.engine.copy())


class GzipBytes:
    """The uncompressed content of a gzip file with one or several gzip members.

    Args:
        file: descriptor of the file; the caller closes it.
    """

    def __init__(self, file: int) -> None:
        self._file, self._bytes = file, os.fstat(file).st_size
        self.foreign_bytes = 0
        """How many bytes that are neither gzip nor zeros follow the content; known once its end has been read."""
        self._lock = threading.Lock()
        self._state = _State(0, 0, zlib.decompressobj(wbits=31))
        self._kept = [self._state.copy()]
        self._block, self._start = b"", 0

    @property
    def share(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return self._state.file_offset / self._bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the content from `offset`, or fewer at its end.

        Raises:
            GzipFault: the file is damaged at or before that position.
        """
        with self._lock:
            self._seek(offset)
            pieces, left = [], size
            while left:
                piece = self._block[offset - self._start : offset - self._start + left]
                if piece:
                    pieces.append(piece)
                    offset, left = offset + len(piece), left - len(piece)
                elif not self._advance():
                    break
            return b"".join(pieces)

    def _seek(self, offset: int) -> None:
        """Decompress up to the block that contains `offset`, from here or from a kept state, whichever is nearer."""
        nearest = max(
            (state for state in self._kept if state.offset <= offset), key=lambda state: state.offset
        )
        if offset < self._start or self._state.offset < nearest.offset:
            self._state = nearest.copy()
            self._block, self._start = b"", nearest.offset
        while offset > self._start + len(self._block) and self._advance():
            pass

    def _advance(self) -> bool:
        """Replace the current block by the next one; return False at the end of the content."""
        state = self._state
        while True:
            if state.engine.eof and not self._next_member():
                return False
            compressed = state.engine.unconsumed_tail
            if not compressed:
                compressed = os.pread(self._file, _INPUT_BYTES, state.file_offset)
                state.file_offset += len(compressed)
                if not compressed:
                    raise GzipFault("cut off")
            try:
                block = state.engine.decompress(compressed, _OUTPUT_BYTES)
            except zlib.error as error:
                raise_if_exhausted(error)
                raise GzipFault(str(error)) from None
            if block:
                self._block, self._start = block, state.offset
                state.offset += len(block)
                if state.offset - self._kept[-1].offset >= _SPACING_BYTES:
                    self._kept.append(state.copy())
                return True

    def _next_member(self) -> bool:
        """Begin the next gzip member; return False if there is none (zeros at the end are padding)."""
        state = self._state
        state.file_offset -= len(state.engine.unused_data)
        magic = os.pread(self._file, 2, state.file_offset)
        if magic != b"\x1f\x8b":
            self._check_rest(state.file_offset)
            return False
        state.engine = zlib.decompressobj(wbits=31)
        return True

    def _check_rest(self, offset: int) -> None:
        """Count what follows the last gzip member, unless it is padding: zeros.

        Raises:
            GzipFault: it is so much that it may be content whose beginning is damaged.
        """
        rest = os.pread(self._file, _MOST_FOREIGN_BYTES, offset)
        while rest and not rest.strip(b"\0"):
            offset += len(rest)
            rest = os.pread(self._file, _MOST_FOREIGN_BYTES, offset)
        self.foreign_bytes = self._bytes - offset if rest else 0
        if self.foreign_bytes > _MOST_FOREIGN_BYTES:
            raise GzipFault(f"{self.foreign_bytes} bytes at byte {offset} that are not gzip")
