"""Hosts with an sshd each, as namespaces of one machine, which reach each other by name: hosta, hostb …"""

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from namespaces import Host

PROGRAMS = ("sshd", "ssh", "ssh-keygen", "nsenter", "ip", "mount")
ANSWERS_WITHIN_S = 30.0
_SSHD_CONFIG = """
Port 22
HostKey {scratch}/host_key
AuthorizedKeysFile {scratch}/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PermitUserEnvironment no
"""
_SSH_CONFIG = """
Host *
    IdentityFile {scratch}/key
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
"""


class SshHosts:
    """Some hosts. Each has its own network, name, processes and mounts, and sees the files of this machine.

    Call `namespaces.enter` first.
    """

    def __init__(self, scratch: Path, count: int) -> None:
        """Make keys and configurations, and start the hosts.

        Raises:
            OSError: sshd does not answer here.
        """
        self.scratch = scratch
        self.names = [f"host{chr(ord('a') + number)}" for number in range(count)]
        for name in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", scratch / name], check=True)
        for name, text in (("sshd_config", _SSHD_CONFIG), ("ssh_config", _SSH_CONFIG)):
            (scratch / name).write_text(text.format(scratch=scratch))
        lines = [f"10.77.{number}.2 {name}" for number, name in enumerate(self.names, 1)]
        (scratch / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        # As a user's own ~/.ssh/config would.
        (scratch / "bin").mkdir()
        (scratch / "bin/ssh").write_text(
            f'#!/bin/sh\nexec {shutil.which("ssh")} -F {scratch}/ssh_config "$@"\n'
        )
        (scratch / "bin/ssh").chmod(0o755)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # of this network namespace alone
        self.hosts = {name: self._start(name) for name in self.names}
        for name in self.names:
            self._wait_for(name)

    def restart(self, name: str) -> None:
        """Switch a host on again."""
        self.hosts[name].close()
        self.hosts[name] = self._start(name)
        self._wait_for(name)

    def power_off(self, name: str) -> None:
        """Cut a host's cable and end all that runs on it, at once: nothing of it says goodbye."""
        self.hosts[name].cut_off()
        self.hosts[name].close()
        # The kernel removes it late by itself.
        cable = f"srf{self.names.index(name) + 1}"
        subprocess.run(["ip", "link", "del", cable], check=False, capture_output=True)

    def close(self) -> None:
        """Switch all hosts off."""
        for host in self.hosts.values():
            host.close()

    def inside(self, name: str, command: Sequence[str | Path]) -> list[str]:
        """Return the command that runs another one on a host."""
        return ["nsenter", "-t", str(self._first_pid(name)), "-n", "-u", "-p", "-m", "--", *map(str, command)]

    def run(self, name: str, *command: str | Path) -> None:
        """Run a command on a host to its end."""
        subprocess.run(self.inside(name, command), check=True)

    def processes(self, name: str) -> dict[int, str]:
        """Return the command lines of a host's processes by id, but for its sshd and what keeps it up."""
        space, found = Path(f"/proc/{self._first_pid(name)}/ns/pid").readlink(), {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "ns/pid").readlink() == space:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found[int(entry.name)] = line
        kept = ("sshd:", f"{shutil.which('sshd')} ", "sh -c")
        return {pid: line for pid, line in found.items() if line and not line.startswith(kept)}

    def environment(self) -> dict[str, str]:
        """Return the variables of a program on a host; it begins in another folder than this one."""
        folders = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        paths = os.pathsep.join(str(Path(folder).resolve()) for folder in folders)
        return os.environ | {"PATH": f"{self.scratch}/bin:{os.environ['PATH']}", "PYTHONPATH": paths}

    def _start(self, name: str) -> Host:
        number = self.names.index(name) + 1
        script = (
            f"mount --bind {self.scratch}/hosts /etc/hosts && mkdir -p /run/sshd && "
            f"ip route add default via 10.77.{number}.1 && "
            f"exec {shutil.which('sshd')} -D -e -f {self.scratch}/sshd_config"
        )
        return Host(name, number, ["sh", "-c", script], self.scratch / f"{name}.log", {})

    def _first_pid(self, name: str) -> int:
        pid = self.hosts[name].process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _wait_for(self, name: str) -> None:
        deadline = time.monotonic() + ANSWERS_WITHIN_S
        command = self.inside(self.names[0], [self.scratch / "bin/ssh", "-o", "BatchMode=yes", name, "true"])
        while (tried := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
            if time.monotonic() > deadline:
                raise OSError(f"sshd does not answer {getpass.getuser()} on {name}: {tried.stderr.strip()}")
            time.sleep(0.2)


def missing_programs() -> str:
    """Return which of the programs are not installed; empty if none."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    return ", ".join(name for name in PROGRAMS if not shutil.which(name))


def dummy(run_dir: Path) -> list[str]:
    """Return the command of an unrelated process that looks like a rank."""
    return [sys.executable, "-c", "import time; time.sleep(3600)", "-m", "sr.training.train", str(run_dir)]
