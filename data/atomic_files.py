"""Writing files so that a reader sees the whole of them or nothing.

A file is written beside its place, flushed, fsynced and renamed. What a killed writer left is swept by the next
one: a live writer holds a lock on its partial file, so only orphans are removed.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from data.errors import UserError

_PART = ".part"
_LOCK = ".lock"
"""Before it in the name of a file that is locked in a directory's place."""


@contextlib.contextmanager
def atomic_file(
    path: Path, mode: str = "wb", place: Callable[[Path, Path], None] = os.replace
) -> Iterator[IO[Any]]:
    """Open a file for writing that appears at `path` only when the block ends without an error.

    Args:
        path: where the file will stand; missing parent directories are made.
        mode: "wb", or "w" for UTF-8 with line feeds.
        place: moves the finished file to `path`.

    Raises:
        OSError: as the operating system says; nothing is left behind then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    handle, part = _locked_part(path)
    try:
        with open(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            place(part, path)
    except BaseException:
        with contextlib.suppress(OSError):  # of a store that is gone or read-only: what broke first is raised
            part.unlink()
        raise
    _sync_directory(path.parent)


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give a directory to fill that appears at `path`, whole, only when the block ends without an error.

    An older directory at `path` is replaced. Files in it are fsynced before the rename.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    lock, lock_path = _locked_part(path, _LOCK)
    part = lock_path.with_suffix("").with_suffix(_PART)
    try:
        part.mkdir()
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                with open(file, "rb") as opened:
                    os.fsync(opened.fileno())
        if path.exists():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            lock_path.unlink()
        os.close(lock)
    _sync_directory(path.parent)


def _locked_part(path: Path, mark: str = "") -> tuple[int, Path]:
    """Make a new partial file of `path` and lock it; return its descriptor and where it is.

    Another writer that sweeps between the two takes it for an orphan and removes it: then another one is made.
    """
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{mark}{_PART}")
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_of(handle, part):
            return handle, part
        os.close(handle)


def _is_of(handle: int, path: Path) -> bool:
    """Return whether an open file is the one that stands at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):  # ESTALE: on NFS, what another host has removed
            return False
        raise


def _sweep(path: Path) -> None:
    """Remove partial files and directories of `path` whose writer is dead: nobody holds their lock.

    Locks are taken on files that are open for writing, since on NFS there are no others between hosts; a directory
    has such a file beside it, from before it is made until after it is gone.
    """
    for part in path.parent.glob(f".{_escape(path.name)}.*{_PART}"):
        lock_path, made = (part.with_suffix(_LOCK + _PART), os.O_CREAT) if part.is_dir() else (part, 0)
        with contextlib.suppress(OSError):
            held = os.open(lock_path, os.O_RDWR | made, 0o666)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if part.is_dir():
                    shutil.rmtree(part)
                lock_path.unlink()
            finally:
                os.close(held)


def _escape(name: str) -> str:
    """Return `name` with the characters that glob gives a meaning taken literally."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_file(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON with sorted keys and a final newline."""
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise UserError("a JSON file", "nothing", str(path), "run the task that makes it") from None
    except ValueError as error:
        raise UserError("JSON", str(error), str(path), "delete the file and run again") from None


def jsonl_line(value: Any) -> bytes:
    """Return `value` as one canonical line of a .jsonl file."""
    return (
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        + b"\n"
    )


def write_jsonl(path: Path, values: Iterable[Any]) -> None:
    """Write `values` to `path` atomically, one JSON value a line."""
    with atomic_file(path) as file:
        for value in values:
            file.write(jsonl_line(value))


def read_jsonl(path: Path) -> Iterator[Any]:
    """Yield the JSON values of a .jsonl file in order.

    Raises:
        UserError: the file is missing or a line is not JSON.
    """
    if not Path(path).exists():
        raise UserError("a .jsonl file", "nothing", str(path), "run the task that makes it")
    with open(path, "rb") as file:
        for count, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(
                    "JSON", str(error), f"{path} line {count}", "delete the file and run again"
                ) from None
