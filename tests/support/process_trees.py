"""Supervised processes for tests."""

import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from data.processes import supervise

T = TypeVar("T")

PATIENCE_S = 30.0
FOR_EVER = "while :; do sleep 0.05; done"
"""A shell command that never ends."""


def wait_until(condition: Callable[[], T], what: str) -> T:
    """Wait until the condition is true; fail after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        select.select([], [], [], 0.02)
    return result


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def supervised(folder: Path, *command: str) -> list[str]:
    """Return the command that runs `command` under a supervisor whose lock is in `folder`."""
    return [sys.executable, "-I", supervise.__file__, str(folder / "lock"), *command]
