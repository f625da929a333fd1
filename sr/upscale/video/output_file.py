"""Where a video is put, and whether what stands there was put there from the same store: no other file is written over.

The receipt is written before the video appears: it knows a file by size and time, which a move does not change. So a
kill at any moment leaves either nothing, or a video that is known.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.atomic_files import read_json, write_json
from data.errors import UserError
from data.hashing import sha256_bytes


class Place:
    """Where one file of a video's directory in the store goes, outside of it."""

    def __init__(self, directory: Path, video: Path) -> None:
        self.video = Path(os.path.abspath(video))
        self.receipt = directory / "run" / f"{sha256_bytes(str(self.video).encode())[:12]}.json"

    def is_ours(self) -> bool:
        """Return whether the file that stands there is one that was put there from this directory."""
        return self.video.exists() and _seen(self.video) in self._known()

    def check(self) -> None:
        """Refuse to go on where a stranger's file stands.

        Raises:
            UserError: one does.
        """
        if self.video.exists() and not self.is_ours():
            raise self._taken()

    def put(self, part: Path, video: Path) -> None:
        """Move a finished file there: what `atomic_file` calls.

        Raises:
            UserError: a stranger's file stands there by now.
        """
        with _alone(self.receipt.parent):
            before = [_seen(video)] if video.exists() else []
            if any(one not in self._known() for one in before):
                raise self._taken()
            self._write([*before, _seen(part)])
            if before:
                os.replace(part, video)
            else:
                self._move_to_nothing(part, video)
            self._write([_seen(video)])

    def remove(self) -> None:
        """Delete what stands there if it is ours."""
        if self.is_ours():
            self.video.unlink()
            self.receipt.unlink()

    def _move_to_nothing(self, part: Path, video: Path) -> None:
        try:
            os.link(part, video)  # unlike a renaming, it never replaces
        except FileExistsError:
            raise self._taken() from None
        except OSError:  # a file system without links
            if video.exists():
                raise self._taken() from None
            os.replace(part, video)
        else:
            part.unlink()

    def _taken(self) -> UserError:
        got = f"a file that was not made with these settings, {self.video}"
        return UserError("a free place", got, "--output-file", "move it away, or name another")

    def _known(self) -> list[dict[str, int]]:
        return read_json(self.receipt)["files"] if self.receipt.exists() else []

    def _write(self, files: list[dict[str, int]]) -> None:
        write_json(self.receipt, {"path": str(self.video), "files": files})


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
