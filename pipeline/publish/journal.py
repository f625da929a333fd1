"""Remembers which files were sent or verified, so that an interrupted transfer goes on where it was.

An append-only .jsonl file under run/: it belongs to this machine, and may be deleted. A line that a kill cut short is
ignored.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

from data.held_folders import make_folder


class Journal:
    """Finished files by path, each with what shows that it is still the same file.

    Args:
        path: the .jsonl file; made with the first entry.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._entries: dict[str, list[Any]] = {}
        content = path.read_bytes() if path.is_file() else b""
        for line in content.split(b"\n"):
            try:
                name, *state = json.loads(line)
            except (ValueError, TypeError):
                continue
            self._entries[str(name)] = state

    def has(self, name: str, *state: Any) -> bool:
        """Return whether the file was finished in exactly this state."""
        with self._lock:
            return self._entries.get(name) == list(state)

    def add(self, name: str, *state: Any) -> None:
        """Remember a finished file."""
        line = json.dumps([name, *state]).encode()
        with self._lock:
            self._entries[name] = list(state)
            make_folder(self._path.parent)
            # One write, begun on a new line: a line that was cut short before it does not spoil it.
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(handle, b"\n" + line + b"\n")
            finally:
                os.close(handle)
