"""The other process of the check: it does what it is asked in its own view of a directory, and answers what it sees.

This file is sent to other hosts as it is, so it needs Python's standard library alone. Requests and answers are lines
of JSON: {"do": name, ...} and {"ok": value}, or {"errno": number, "error": text}.
"""

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import IO, Any

_SETTLE_S = 0.02
"""Between two looks at what has not appeared yet."""
_held: dict[str, int] = {}


def see(path: str) -> str | None:
    """Return what a program that opens the file reads; None where it finds none."""
    try:
        with open(path, "rb") as file:
            return file.read().decode()
    except FileNotFoundError:
        return None


def exists(path: str) -> bool:
    """Return whether a look-up by name finds the file; a mount may remember the answer."""
    try:
        os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return False
    return True


def listed(path: str) -> list[str]:
    """Return the names in a folder."""
    return sorted(os.listdir(path))


def write(path: str, text: str) -> None:
    """Write a file, flush it to the disk and close it."""
    with open(path, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def replace(part: str, path: str, text: str) -> None:
    """Write a file under another name, and rename it to its place."""
    with open(part, "w") as file:
        file.write(text)
    os.replace(part, path)


def remove(path: str) -> None:
    """Remove a file."""
    os.unlink(path)  # noqa: PTH108


def sync_folder(path: str) -> None:
    """Flush a folder's list of names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def wait_for(path: str, text: str | None, seconds: float) -> float | None:
    """Look until the file has this text (None: until it is gone); return after how many seconds, or None."""
    begun = time.monotonic()
    while see(path) != text:
        if time.monotonic() - begun > seconds:
            return None
        time.sleep(_SETTLE_S)
    return time.monotonic() - begun


def wait_for_folder(path: str, seconds: float) -> bool:
    """Look until a folder is there; return whether it is."""
    begun = time.monotonic()
    while not os.path.isdir(path):  # noqa: PTH112
        if time.monotonic() - begun > seconds:
            return False
        time.sleep(_SETTLE_S)
    return True


def watch(path: str, texts: list[str], seconds: float) -> list[str | None]:
    """Read a file until it has the last of these texts; return whatever else was seen than one of them."""
    strange: list[str | None] = []
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        text = see(path)
        if text == texts[-1]:
            break
        if text not in texts and text not in strange:
            strange.append(text)
    return strange


def lock(path: str) -> bool:
    """Take a lock on a file, and hold it until `unlock`; return whether it was free."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    except OSError:
        os.close(handle)
        raise
    _held[path] = handle
    return True


def unlock(path: str) -> None:
    """Release a lock."""
    os.close(_held.pop(path))


def describe() -> str:
    """Return the name of this host."""
    return os.uname().nodename


ACTIONS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        see, exists, listed, write, replace, remove, sync_folder, wait_for, wait_for_folder, watch, lock, unlock,
        describe
    )
}  # fmt: skip


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what a request says, and return the answer."""
    try:
        return {"ok": ACTIONS[request.pop("do")](**request)}
    except OSError as error:
        return {"errno": error.errno, "error": error.strerror}


def serve(requests: Iterable[str], answers: IO[str]) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        with contextlib.suppress(BrokenPipeError):
            answers.write(json.dumps(answer(json.loads(line))) + "\n")
            answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
