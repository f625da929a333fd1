"""Which ranks have come, from which hosts, and which of them live: what the process that starts them sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import write_json
from data.errors import UserError
from sr.distributed.heartbeat import BEAT_EVERY_S, SILENT_AFTER_S, HeartbeatReader
from sr.distributed.run_files import RANKS, beat_of, sign_of
from sr.distributed.session import Session

BEGIN_WITHIN_S = 40.0
"""Time for each host to begin: for ssh, the shell there, and the little that a host program loads."""
COME_WITHIN_S = 120.0
"""Time for the last rank to come, also on busy hosts that have begun and load slowly: from the start, or, where others
start the ranks, from when the first came."""
_CONTINUE = "The same command continues from the last checkpoint"
_SHOWN = 4


class Attendance:
    """The ranks of a session. Time is counted in looks, `BEAT_EVERY_S` apart."""

    def __init__(self, run_dir: Path, session: Session) -> None:
        """Wait for the ranks of a session that has just begun."""
        self._run_dir, self._session = run_dir, session
        self._readers = [
            HeartbeatReader(run_dir / beat_of(session.id, rank)) for rank in range(session.world_size)
        ]
        named = [number for number, host in enumerate(session.hosts) if host.name]
        self._signs = {number: HeartbeatReader(run_dir / sign_of(session.id, number)) for number in named}
        self._looks, self._complete = 0, False

    def look(self) -> None:
        """Look at all ranks; write down who they are once all have come."""
        waited_for = [] if self._complete else [one for one in self._signs.values() if not one.said]
        for reader in (*self._readers, *waited_for):
            reader.read()
        if self._session.hosts or self._came():
            self._looks += 1
        if not self._complete and len(self._came()) == len(self._readers):
            self._complete = True
            write_json(self._run_dir / RANKS, self.record())

    def record(self) -> dict[str, Any]:
        """Return which rank runs where."""
        shown = ("rank", "host", "pid", "device")
        ranks = [{name: reader.said[name] for name in shown} for reader in self._came()]
        hosts = sorted({one["host"] for one in ranks})
        return {
            "world_size": self._session.world_size,
            "starter": self._session.starter,
            "hosts": hosts,
            "ranks": ranks,
        }

    def have_ended(self) -> bool:
        """Return whether all ranks have come and said that they end."""
        return self._complete and all(reader.said["state"] == "ended" for reader in self._readers)

    def find_fault(self) -> UserError | None:
        """Return what is wrong with the ranks; None while nothing is."""
        if not self._complete:
            return self._find_absent()
        devices = {reader.said["device"] for reader in self._readers}
        if len(devices) > 1:
            lacking = [rank for rank, reader in enumerate(self._readers) if reader.said["device"] == "cpu"]
            message = f"{self._describe(lacking)} found no GPU that torch can use, but others did"
            return UserError(
                message, "Repair the driver there, leave that host out, or set DS_ACCELERATOR=cpu for all"
            )
        silent = [
            rank
            for rank, reader in enumerate(self._readers)
            if reader.said["state"] != "ended" and reader.looks_since * BEAT_EVERY_S >= SILENT_AFTER_S
        ]
        if silent:
            why = "killed, frozen, cut off or without power"
            return UserError(
                f"{self._describe(silent)} has been silent for {SILENT_AFTER_S:.0f} s: {why}", _CONTINUE
            )
        return None

    def _find_absent(self) -> UserError | None:
        """Return which hosts or ranks are late; None while all have time."""
        waited_s = self._looks * BEAT_EVERY_S
        if waited_s >= COME_WITHIN_S:
            here = {reader.path for reader in self._came()}
            missing = [rank for rank, reader in enumerate(self._readers) if reader.path not in here]
            message = f"{self._describe(missing)} did not come within {COME_WITHIN_S:.0f} s"
            return UserError(message, f"Look there, and at the log {self._run_dir}/run/log.txt")
        silent = [number for number, sign in self._signs.items() if not sign.said]
        if waited_s < BEGIN_WITHIN_S or not silent:
            return None
        names = [self._session.hosts[number].name for number in silent]
        who = f"Host {names[0]} has" if len(names) == 1 else f"Hosts {_shorten(names)} have"
        message = f"{who} said nothing for {BEGIN_WITHIN_S:.0f} s: the store, the shell or Python hang there"
        return UserError(message, f"Try: ssh {names[0]} ls {self._run_dir}. The log says more")

    def _came(self) -> list[HeartbeatReader]:
        return [reader for reader in self._readers if reader.said.get("session") == self._session.id]

    def _describe(self, ranks: list[int]) -> str:
        """Return hosts with their ranks: host b (ranks 2, 3)."""
        hosts: dict[str, list[int]] = {}
        for rank in ranks:
            hosts.setdefault(self._host_of(rank), []).append(rank)
        texts = [f"{host} (rank{'s'[: len(some) - 1]} {_shorten(some)})" for host, some in hosts.items()]
        return "; ".join(texts)

    def _host_of(self, rank: int) -> str:
        said = self._readers[rank].said
        if said.get("session") == self._session.id:
            return f"Host {said['host']}"
        first = 0
        for host in self._session.hosts:
            if rank < first + host.ranks:
                return f"Host {host.name}" if host.name else "A host"
            first += host.ranks
        return "A host"


def _shorten(items: Sequence[int | str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(map(str, items[:_SHOWN])) + more
