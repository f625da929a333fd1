"""A view of one directory: from this process, or from another one on this host or, by ssh, on another."""

import contextlib
import errno
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.store_check import peer

_START = "import json, sys; exec(json.loads(sys.stdin.readline()))"
"""The program of a peer: it reads the text of `data.store_check.peer` from its standard input, so that the other host
needs Python and nothing of this project."""
_PATHS = ("path", "part")
_PATIENCE_S = 20
"""How long ssh may take to connect."""


class View:
    """The directory as one process sees it, which is asked to do things there.

    Args:
        name: what it is called in a report.
        folder: path of the directory, in that process's view.
        command: starts the process, which reads requests and writes answers; empty: this process.
    """

    def __init__(self, name: str, folder: str, command: list[str] | None = None) -> None:
        self.name, self.folder = name, folder
        self._process: subprocess.Popen[str] | None = None
        if command:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            try:
                self._process = subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload]
            except OSError as error:
                raise UserError(f"{command[0]} can't be run: {error.strerror}", "Install it") from error
            self._send(Path(peer.__file__).read_text())
            self.call("describe")

    def call(self, do: str, **arguments: Any) -> Any:
        """Do something there and return the answer; what is called path or part is a name in the directory.

        Raises:
            OSError: it failed there.
            UserError: the other process has ended.
        """
        self.begin(do, **arguments)
        return self.end()

    def begin(self, do: str, **arguments: Any) -> None:
        """Ask the process to do something; `end` waits for the answer. Not for this process."""
        named = {key: f"{self.folder}/{value}" for key, value in arguments.items() if key in _PATHS}
        request = {"do": do} | arguments | named
        if self._process:
            self._send(request)
        else:
            self._answer = peer.answer(request)

    def end(self) -> Any:
        """Return the answer to the request that was begun."""
        answer = self._receive() if self._process else self._answer
        if "errno" in answer:
            number = answer["errno"] or errno.EIO
            raise OSError(number, answer["error"] or errno.errorcode.get(number, "failed"))
        return answer["ok"]

    def close(self) -> None:
        """End the process."""
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait()

    def _send(self, value: Any) -> None:
        assert self._process and self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # `_receive` says why it has ended
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process and self._process.stdout and self._process.stderr
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        said = self._process.stderr.read().strip().splitlines()
        why = said[-1] if said else f"exit code {self._process.wait()}"
        raise UserError(
            f"The process on {self.name} has ended: {why}",
            "`ssh HOST python3 --version` must work without a password",
        )


def local_view(folder: str) -> View:
    """Return the view of another process of this host."""
    return View("another process of this host", folder, [sys.executable, "-uc", _START])


def ssh_view(host: str, folder: str) -> View:
    """Return the view of another host.

    Raises:
        UserError: it can't be reached without a password, or has no Python.
    """
    options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_PATIENCE_S}"]
    return View(host, folder, ["ssh", *options, "--", host, f"python3 -uc {shlex.quote(_START)}"])
