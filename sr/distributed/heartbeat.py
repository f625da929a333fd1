"""Let processes of several hosts see that others live, through files that change while their writers do.

A file keeps its place and size and is opened anew each time: that is what network file systems pass on soonest. A
reader counts its own looks, not the time: a host that was frozen, or a store that hung, takes no other for dead.
"""

import contextlib
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.mounts import refresh_names

BEAT_EVERY_S = 1.0
SILENT_AFTER_S = 30.0
"""A process whose file has not changed for so long is dead, frozen or cut off. NFS answers from its cache for a few
seconds; an import or a slow write may hold a process up for some more."""
_SIZE = 1024


class HeartbeatWriter:
    """Keeps a file changing while this process lives, from a thread of its own."""

    def __init__(self, path: Path, **said: Any) -> None:
        """Make the file.

        Args:
            path: the file.
            said: what readers find in it: plain values.
        """
        self._path, self._said, self._beats = path, said, 0
        self._lock, self._stopped = threading.Lock(), threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.say()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def say(self, **said: Any) -> None:
        """Change what readers find, and write it at once."""
        with self._lock:
            self._said |= said
            self._beats += 1
            # The store may be full or gone for a moment. If it stays so, the readers notice.
            with contextlib.suppress(OSError):
                _write(self._path, {"beat": self._beats, **self._said})

    def stop(self, **said: Any) -> None:
        """Say something last; the file stays."""
        self._stopped.set()
        self._thread.join()
        self.say(**said)

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_EVERY_S):
            self.say()


def say_once(path: Path, **said: Any) -> None:
    """Make a file that a HeartbeatReader reads once. If it can't be made, the readers notice."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, said)


@dataclass
class HeartbeatReader:
    """Reads a heartbeat. Each call of `read` is a look."""

    path: Path
    said: dict[str, Any] = field(default_factory=dict)
    """What the file says; empty while there is none."""
    changes: int = 0
    """How often it was seen to have changed, its first sight included."""
    looks_since: int = 0
    """Looks since it changed."""
    _content: bytes = b""

    def read(self) -> bool:
        """Look at the file; return whether it has changed."""
        content = b""
        try:
            content = self.path.read_bytes()
        except OSError:
            refresh_names(self.path.parent)  # for the next look
        if not content or content == self._content:
            self.looks_since += 1
            return False
        self._content, self.looks_since = content, 0
        self.changes += 1
        # Half of an old and half of a new beat is a sign of life, too.
        with contextlib.suppress(ValueError):
            self.said = json.loads(content)
        return True


def _write(path: Path, said: dict[str, Any]) -> None:
    content = json.dumps(said).encode().ljust(_SIZE)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.pwrite(handle, content, 0)
    finally:
        os.close(handle)
