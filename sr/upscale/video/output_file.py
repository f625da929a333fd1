"""The place of an output video, outside the store. A file there is replaced only if the same store put it there.

A receipt is written before the video appears. It identifies a file by size and modification time, which a rename does
not change. So a kill at any moment leaves either nothing, or a video with a receipt.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.atomic_files import read_json, write_json
from data.errors import UserError
from data.file_names import LONGEST_NAME_BYTES
from data.hashing import sha256_bytes
from data.held_folders import make_folder
from data.mounts import LACKS_LOCKS, lock, lock_if_possible
from sr.upscale.video.settings import VideoUpscaleSettings


def partial_path(output: Path) -> Path:
    """Return the path for the finished part of an interrupted run: out.partial.mkv for out.mkv.

    If the file system does not take that name, the beginning of the video's name is kept.
    """
    end = f".partial{output.suffix}"
    if len(os.fsencode(output.stem + end)) <= LONGEST_NAME_BYTES:
        return output.with_name(output.stem + end)
    return output.with_name(
        os.fsencode(output.stem)[: LONGEST_NAME_BYTES - len(end)].decode(errors="ignore") + end
    )


class OutputFile:
    """Where a video goes, and the receipt of what was put there.

    Args:
        directory: of the store; receipts go to its `run/`.
        video: where the output goes.
    """

    def __init__(self, directory: Path, video: Path) -> None:
        self.video = Path(os.path.abspath(video))
        self.receipt = directory / "run" / f"{sha256_bytes(os.fsencode(self.video))[:12]}.json"

    def is_ours(self) -> bool:
        """Return whether a file stands there, and it was put there from this directory."""
        return self.video.exists() and _file_state(self.video) in self._read_receipt()

    def check(self) -> None:
        """Check that a file can be put there, and would replace no other.

        Raises:
            UserError: there is one, or a folder, or a link that leads nowhere; or the folder is not writable.
        """
        if self.video.is_dir():
            raise UserError(f"{self.video} is a folder", "Name a file for --output-file")
        if self.video.is_symlink() and not self.video.exists():
            raise UserError(f"{self.video} is a link to a file that does not exist", "Remove the link")
        if self.video.exists():
            if not self.is_ours():
                raise self._occupied_error()
            return
        folder = next(one for one in self.video.parents if os.path.lexists(one))
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            problem = "is not writable" if folder.is_dir() else "is a file"
            raise UserError(
                f"--output-file {self.video} cannot be written: {folder} {problem}", "Choose another folder"
            )

    @contextlib.contextmanager
    def turn(
        self, record: Path, settings: VideoUpscaleSettings, wait: Callable[[], object]
    ) -> Iterator[dict[str, Any] | None]:
        """Wait until no other run works on the video, and let none begin while the block runs.

        Args:
            record: of the video, written last.
            settings: which streams and which sound the video is to have.
            wait: called if another run works on it.

        Yields:
            The record, if that other run has just made the video as it is wanted; else None.
        """
        with _one_at_a_time(self.receipt.parent, wait) as has_waited:
            found: dict[str, Any] = {}
            if has_waited and self.is_ours() and record.exists():
                found = read_json(record)
            wanted = sorted(settings.leave_out), settings.audio
            yield found if found and (found["leave_out"], found["audio"]) == wanted else None

    def put(self, part: Path, video: Path) -> None:
        """Move a finished file to its place: the `place` function for `atomic_file`.

        Raises:
            UserError: another file is there by now.
        """
        with _lock_directory(self.receipt.parent):
            before = [_file_state(video)] if video.exists() else []
            if any(state not in self._read_receipt() for state in before):
                raise self._occupied_error()
            self._write_receipt([*before, _file_state(part)])
            if before:
                os.replace(part, video)
            else:
                self._move_without_replacing(part, video)
            self._write_receipt([_file_state(video)])

    def remove(self) -> None:
        """Delete the file if it is ours."""
        if self.is_ours():
            self.video.unlink()
            self.receipt.unlink()

    def _move_without_replacing(self, part: Path, video: Path) -> None:
        try:
            os.link(part, video)  # unlike a rename, it never replaces a file
        except FileExistsError:
            raise self._occupied_error() from None
        except OSError:  # a file system without links
            if video.exists():
                raise self._occupied_error() from None
            os.replace(part, video)
        else:
            part.unlink()

    def _occupied_error(self) -> UserError:
        return UserError(
            f"{self.video} is not a free place: a file is there that was not made with these settings",
            "Move it away, or choose another --output-file",
        )

    def _read_receipt(self) -> list[dict[str, int]]:
        files: list[dict[str, int]] = read_json(self.receipt)["files"] if self.receipt.exists() else []
        return files

    def _write_receipt(self, files: list[dict[str, int]]) -> None:
        write_json(self.receipt, {"path": str(self.video), "files": files})


@contextlib.contextmanager
def _one_at_a_time(folder: Path, wait: Callable[[], object]) -> Iterator[bool]:
    """Hold a lock in a folder, after `wait` if another run holds it; yield whether one did.

    Where the file system has no locks, nothing is waited for.
    """
    make_folder(folder)
    handle = os.open(folder / "work.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        is_taken = False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            is_taken = isinstance(error, BlockingIOError)
            if error.errno not in LACKS_LOCKS and not is_taken:
                raise
        if is_taken:
            wait()
            lock_if_possible(handle)
        yield is_taken
    finally:
        os.close(handle)


def _file_state(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}


@contextlib.contextmanager
def _lock_directory(folder: Path) -> Iterator[None]:
    """Hold a lock that keeps other processes out of the same directory."""
    make_folder(folder)
    # NFS locks only files that are open for writing.
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        lock(handle, folder)
        yield
    finally:
        os.close(handle)
