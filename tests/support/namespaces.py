"""Hosts on one machine: processes in network, UTS, process and mount namespaces of their own.

Each host has a cable (a veth pair) to this process's network: 10.77.N.1 is this end, 10.77.N.2 the host. `enter` moves
the calling program into namespaces of its own first, so that nothing of the machine is changed.
"""

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

_INSIDE = "SUPER_RESOLUTION_NAMESPACES"
_MARK = "SUPER_RESOLUTION_HOST"


def enter() -> str:
    """Start this program again inside namespaces, and end with its exit code; return why the kernel won't.

    Inside, return an empty text at once.
    """
    if os.environ.get(_INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return ""
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "--mount"]
    trial = "ip link add srf0 type veth peer name srf1 && unshare --net --uts --pid --mount --fork --mount-proc true"
    try:
        tried = subprocess.run([*unshare, "sh", "-c", trial], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    if tried.returncode:
        return tried.stderr.strip().splitlines()[-1]
    done = subprocess.run([*unshare, sys.executable, *sys.argv], env=os.environ | {_INSIDE: "1"}, check=False)
    raise SystemExit(done.returncode)


class Host:
    """A program on a host of its own.

    Args:
        name: the host's name.
        number: from 1; part of its address.
        command: the program.
        log: where its output goes.
        environment: added to this process's.
        empty: directories that are empty on this host, as where nothing is mounted.
    """

    def __init__(
        self,
        name: str,
        number: int,
        command: Sequence[str],
        log: Path,
        environment: dict[str, str],
        empty: Sequence[Path] = (),
    ) -> None:
        self.name, self.number, self.log = name, number, log
        self._value = uuid.uuid4().hex
        covers = "".join(f"mount -t tmpfs tmpfs '{path}' && " for path in empty)
        script = (
            f"hostname {name} && {covers} ip link set lo up && until ip addr add 10.77.{number}.2/24 dev eth0; "
            'do sleep 0.1; done 2>/dev/null; ip link set eth0 up; "$@"; echo "exit code $?"'
        )
        unshare = ["unshare", "--net", "--uts", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                [*unshare, "sh", "-c", script, "sh", *command],
                env=os.environ | environment | {_MARK: self._value, "NO_PROXY": "*"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._plug_in()

    @property
    def scheduler_address(self) -> str:
        """The address of this process's network, as the host sees it."""
        return f"10.77.{self.number}.1"

    def _plug_in(self) -> None:
        """Connect the host by a cable."""
        while not (children := _children(self.process.pid)):
            time.sleep(0.02)
        cable = f"srf{self.number}"
        # The child has its namespaces from the start: unshare makes them before it forks.
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(children[0]))
        _ip("addr", "add", f"{self.scheduler_address}/24", "dev", cable)
        _ip("link", "set", cable, "up")

    def cut_off(self) -> None:
        """Pull the cable."""
        _ip("link", "set", f"srf{self.number}", "down")

    def reconnect(self) -> None:
        """Put the cable back."""
        _ip("link", "set", f"srf{self.number}", "up")

    def pids(self) -> list[int]:
        """Return the processes of the program: those with the host's mark, apart from its shell."""
        mark, found = f"{_MARK}={self._value}".encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    arguments = (entry / "cmdline").read_bytes().split(b"\0")
                    is_program = b"luigi" in b" ".join(arguments) and not arguments[0].endswith(
                        (b"unshare", b"sh")
                    )
                    if is_program and mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return sorted(found)

    def send(self, number: int) -> None:
        """Send a signal to every process of the program."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def exit_code(self) -> int | None:
        """Return the program's exit code; None while it runs."""
        last = self.log.read_text(errors="replace").rstrip().rpartition("\n")[2]
        return int(last.removeprefix("exit code ")) if last.startswith("exit code ") else None

    def close(self) -> None:
        """Switch the host off."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def closing_all(hosts: list[Host]) -> Iterator[None]:
    """Switch off all hosts of a list at the end of the block."""
    try:
        yield
    finally:
        for host in hosts:
            host.close()


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
