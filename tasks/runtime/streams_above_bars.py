"""Print what a task prints above its bars, so that neither breaks the other."""

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO

from tasks.runtime.progress_board import Board


@contextlib.contextmanager
def prints_above_bars(board: Board) -> Iterator[None]:
    """On a terminal, print what the block prints above the bars."""
    if not board.screen.live or isinstance(sys.stderr, _StreamAboveBars):
        yield
        return
    errors = _StreamAboveBars(sys.stderr, board)
    output = _StreamAboveBars(sys.stdout, board) if sys.stdout and sys.stdout.isatty() else sys.stdout
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(output):
            yield
    finally:
        errors.close()
        if isinstance(output, _StreamAboveBars):
            output.close()


class _StreamAboveBars(io.TextIOBase):
    """A standard stream whose complete lines are written above the bars, so that neither breaks the other.

    It claims not to be a terminal, so that programs print plainly and do not move the cursor.
    """

    def __init__(self, stream: TextIO, board: Board) -> None:
        super().__init__()
        self._stream, self._board, self._rest = stream, board, ""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed's can be set, which is not needed here
        return self._stream.encoding

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        lines, end, self._rest = (self._rest + text).rpartition("\n")
        if end:
            self._board.pass_through(lines + end, self._stream)
        return len(text)

    def close(self) -> None:
        if self._rest:
            self._board.pass_through(self._rest + "\n", self._stream)
        self._rest = ""
        super().close()
