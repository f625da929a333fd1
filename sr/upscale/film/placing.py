"""Where a film is put, and whether what stands there was put there from the same store: no other file is written over.

The receipt is written before the film appears: it knows a file by size and time, which a move does not change. So a
kill at any moment leaves either nothing, or a film that is known.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.digests import sha256_bytes
from data.errors import UserError
from data.files import read_json, write_json


class Place:
    """Where one file of a film's directory in the store goes, outside of it."""

    def __init__(self, directory: Path, film: Path) -> None:
        self.film = Path(os.path.abspath(film))
        self.receipt = directory / "run" / f"{sha256_bytes(str(self.film).encode())[:12]}.json"

    def is_ours(self) -> bool:
        """Return whether the file that stands there is one that was put there from this directory."""
        return self.film.exists() and _seen(self.film) in self._known()

    def check(self) -> None:
        """Refuse to go on where a stranger's file stands.

        Raises:
            UserError: one does.
        """
        if self.film.exists() and not self.is_ours():
            raise self._taken()

    def put(self, part: Path, film: Path) -> None:
        """Move a finished file there: what `atomic_file` calls.

        Raises:
            UserError: a stranger's file stands there by now.
        """
        with _alone(self.receipt.parent):
            before = [_seen(film)] if film.exists() else []
            if any(one not in self._known() for one in before):
                raise self._taken()
            self._write([*before, _seen(part)])
            if before:
                os.replace(part, film)
            else:
                self._move_to_nothing(part, film)
            self._write([_seen(film)])

    def remove(self) -> None:
        """Delete what stands there if it is ours."""
        if self.is_ours():
            self.film.unlink()
            self.receipt.unlink()

    def _move_to_nothing(self, part: Path, film: Path) -> None:
        try:
            os.link(part, film)  # unlike a renaming, it never replaces
        except FileExistsError:
            raise self._taken() from None
        except OSError:  # a file system without links
            if film.exists():
                raise self._taken() from None
            os.replace(part, film)
        else:
            part.unlink()

    def _taken(self) -> UserError:
        got = f"a file that was not made with these settings, {self.film}"
        return UserError("a free place", got, "--output-file", "move it away, or name another")

    def _known(self) -> list[dict[str, int]]:
        return read_json(self.receipt)["files"] if self.receipt.exists() else []

    def _write(self, files: list[dict[str, int]]) -> None:
        write_json(self.receipt, {"path": str(self.film), "files": files})


def _seen(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes of the same directory out meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
