"""Make standard output and standard error tolerate a reader who leaves, a full disk and any character.

What a command has done does not depend on who reads along: a pipe that `head` has closed or a terminal that is gone
costs text, never the work or its exit code.
"""

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import Any

_LOOKALIKES = {"└": "`", "├": "|", "│": "|", "─": "-", "×": "x", "→": "->", "►": ">", "…": "...", "–": "-"}
"""What is printed in place of a character that the terminal's encoding lacks; others are escaped (`\\xfc`)."""


class _LenientFile(io.FileIO):
    """A descriptor of a standard stream; what cannot be written to it is dropped."""

    has_failed = False

    def write(self, content: Any) -> int:
        """Write the bytes, or drop them where no reader is left."""
        try:
            return super().write(content) or 0
        except BlockingIOError:  # the caller tries again
            raise
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO) and self.fileno() != 2 and not self.has_failed:
                with contextlib.suppress(OSError):
                    os.write(2, f"Standard output is cut short: {error.strerror}.\n".encode())
            self.has_failed = True
            return memoryview(content).nbytes


def prepare_streams() -> None:
    """Replace this program's standard streams by lenient ones; those of a test or a notebook stay as they are."""
    _fill_closed_descriptors()
    codecs.register_error("lookalike", _replace)
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = sys.__stdout__ = _lenient(sys.stdout)  # type: ignore[misc]  # typeshed calls it final
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = sys.__stderr__ = _lenient(sys.stderr)  # type: ignore[misc]


def _lenient(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    if isinstance(getattr(stream.buffer, "raw", None), _LenientFile):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_LenientFile(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors="lookalike",
        line_buffering=stream.line_buffering or stream.write_through,
    )


def _fill_closed_descriptors() -> None:
    """Open /dev/null for each closed standard stream: the next file would take its number, and stray output with it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Serve as the error handler "lookalike" of an encoding."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    known = _LOOKALIKES.get(error.object[error.start])
    if known is not None:
        return known, error.start + 1
    return codecs.backslashreplace_errors(
        UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, error.reason)
    )
