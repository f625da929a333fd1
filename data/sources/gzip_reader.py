"""A gzip file read by position: states of the decompressor are kept on the way, so going back costs little.

Every state is worth about 50 KB of memory; nothing is written to disk. One thread reads at a time.
"""

import os
import threading
import zlib
from dataclasses import dataclass
from typing import Any

_INPUT_BYTES = 1 << 16
_OUTPUT_BYTES = 1 << 20
_SPACING_BYTES = 8 << 20
"""Between two states that are kept, in bytes of the content."""


class GzipFault(Exception):
    """The file is damaged or cut off."""


@dataclass
class _State:
    """A place in the content from which decompression can go on."""

    offset: int
    """In the content."""
    place: int
    """In the file: of the next byte to feed."""
    engine: Any
    """zlib's decompressor, which holds what was fed and not used yet."""

    def copy(self) -> "_State":
        return _State(self.offset, self.place, self.engine.copy())


class GzipBytes:
    """The content of a gzip file, of one or several members.

    Args:
        file: descriptor of the file; it stays the caller's.
    """

    def __init__(self, file: int) -> None:
        self._file, self._bytes = file, os.fstat(file).st_size
        self._lock = threading.Lock()
        self._state = _State(0, 0, zlib.decompressobj(wbits=31))
        self._kept = [self._state.copy()]
        self._block, self._start = b"", 0

    @property
    def share(self) -> float:
        """How far through the file the last read was, 0 to 1."""
        return self._state.place / self._bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the content from `offset`, fewer at its end.

        Raises:
            GzipFault: the file is damaged before or there.
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
        """Bring the block to the offset, or before it: on from here if that is nearest, else from a kept state."""
        nearest = max(
            (state for state in self._kept if state.offset <= offset), key=lambda state: state.offset
        )
        if offset < self._start or self._state.offset < nearest.offset:
            self._state = nearest.copy()
            self._block, self._start = b"", nearest.offset
        while offset > self._start + len(self._block) and self._advance():
            pass

    def _advance(self) -> bool:
        """Put the next block of content in place of this one; return whether there was any."""
        state = self._state
        while True:
            if state.engine.eof and not self._next_member():
                return False
            fed = state.engine.unconsumed_tail
            if not fed:
                fed = os.pread(self._file, _INPUT_BYTES, state.place)
                state.place += len(fed)
                if not fed:
                    raise GzipFault("cut off")
            try:
                block = state.engine.decompress(fed, _OUTPUT_BYTES)
            except zlib.error as error:
                raise GzipFault(str(error)) from None
            if block:
                self._block, self._start = block, state.offset
                state.offset += len(block)
                if state.offset - self._kept[-1].offset >= _SPACING_BYTES:
                    self._kept.append(state.copy())
                return True

    def _next_member(self) -> bool:
        """Begin with the gzip member that follows; return False where none does, as zeros are only padding."""
        state = self._state
        state.place -= len(state.engine.unused_data)
        rest = os.pread(self._file, 2, state.place)
        if rest != b"\x1f\x8b":
            return False
        state.engine = zlib.decompressobj(wbits=31)
        return True
