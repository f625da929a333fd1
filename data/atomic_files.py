"""Write files so that readers see a whole file or none.

A file is written beside its final place, flushed, fsynced and renamed. No lock is taken. The partial files of a killed
writer are removed by the next writer, which knows them by their names (`data.part_names`).

A file that is there with the same bytes stays, and the new one is dropped: two hosts that made the same do not take it
from each other's readers, whom NFS would answer "stale file handle".
"""

import contextlib
import errno
import filecmp
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from data.errors import UserError
from data.hashing import canonical_json, encode_json
from data.held_folders import make_folder
from data.mounts import sync, sync_directory
from data.part_names import new_part, remove_orphans

_LACKS_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EACCES})
"""What a hard link raises where the file system has none, as FAT and several FUSE mounts."""
_BUFFER_BYTES = 1 << 18
"""Each write to the system hands Python's lock to the other threads, which may keep it for 5 ms."""
_open_parts: set[Path] = set()
"""What this process is writing, for `remove_open_parts`."""


@contextlib.contextmanager
def atomic_file(
    path: Path, mode: str = "wb", place: Callable[[Path, Path], None] | None = None
) -> Iterator[IO[Any]]:
    """Open a file for writing that appears at `path` only if the block ends without an error.

    Args:
        path: the final path; missing parent directories are made.
        mode: "wb", or "w" for UTF-8 text with line feeds.
        place: moves the finished file (first argument) to `path` (second argument); None: `place_unless_same`.

    Raises:
        OSError: from the operating system; nothing is left behind.
    """
    path = Path(path)
    make_folder(path.parent)
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    part = new_part(path)
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    _open_parts.add(part)
    try:
        with open(handle, mode, _BUFFER_BYTES, encoding=encoding, newline=newline) as file:
            remove_orphans(path, part)
            yield file
            file.flush()
            sync(file.fileno())
            (place or place_unless_same)(part, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the store may be gone or read-only: the first error is raised
            part.unlink()
        raise
    finally:
        _open_parts.discard(part)
    sync_directory(path.parent)


def place_unless_same(part: Path, path: Path) -> None:
    """Move a finished file to `path`, unless a file with the same bytes is there: then that one stays.

    A hard link fails where the name is taken, also where another host took it a moment ago and this host does not know
    that yet. Where the file system has none, the name is looked up first.
    """
    try:
        os.link(part, path)
        part.unlink()
    except FileExistsError:
        _replace_other(part, path)
    except OSError as error:
        if error.errno not in _LACKS_LINKS:
            raise
        _replace_other(part, path)


def _replace_other(part: Path, path: Path) -> None:
    """Move a finished file to `path`, where another file may be; drop it if that has the same bytes."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_file() and not path.is_symlink() and filecmp.cmp(part, path, shallow=False):
            part.unlink()
            return
    os.replace(part, path)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Create a directory to fill, which appears at `path` only if the block ends without an error.

    An older directory at `path` is replaced. The files in it are fsynced before the rename.
    """
    path = Path(path)
    make_folder(path.parent)
    part = new_part(path)
    _open_parts.add(part)
    try:
        part.mkdir()
        remove_orphans(path, part)
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                with open(file, "rb") as opened:
                    sync(opened.fileno())
        _replace_directory(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _open_parts.discard(part)
    sync_directory(path.parent)


def _replace_directory(part: Path, path: Path) -> None:
    """Rename a directory to `path`. An older one there is moved aside first, so that half of one is never seen."""
    while True:
        try:
            os.replace(part, path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        older = new_part(path)
        with contextlib.suppress(FileNotFoundError):  # another writer has moved it
            os.replace(path, older)
            shutil.rmtree(older)


def remove_open_parts() -> None:
    """Remove what this process is writing, in whatever thread: for a process that ends without unwinding them."""
    for part in list(_open_parts):
        shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            part.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_file(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON with sorted keys and a final newline."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, encode_json(text) + b"\n")


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", "Run the task that makes it") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}", "Delete the file and run again") from None


def jsonl_line(value: Any) -> bytes:
    """Encode `value` as one line of a .jsonl file; equal values give equal bytes."""
    return canonical_json(value) + b"\n"


def write_jsonl(path: Path, values: Iterable[Any]) -> None:
    """Write `values` to `path` atomically, one JSON value per line."""
    with atomic_file(path) as file:
        for value in values:
            file.write(jsonl_line(value))


def read_jsonl(path: Path) -> Iterator[Any]:
    """Yield the JSON values of a .jsonl file in order.

    Raises:
        UserError: the file is missing or a line is not JSON.
    """
    if not Path(path).exists():
        raise UserError(f"{path} does not exist", "Run the task that makes it")
    with open(path, "rb") as file:
        for count, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                message = f"{path} is damaged: line {count} is not valid JSON: {error}"
                raise UserError(message, "Delete the file and run again") from None
