"""Which ranks have come, from which hosts, and which of them live: what the process that starts them sees."""

from pathlib import Path
from typing import Any

from data.atomic_files import write_json
from data.errors import UserError
from sr.distributed.heartbeat import BEAT_EVERY_S, SILENT_AFTER_S, Ear
from sr.distributed.run_files import RANKS, beat_of
from sr.distributed.session import Session

COME_WITHIN_S = 120.0
"""Time for the last rank to come, also on hosts that load Python slowly: from the start, or, where others start the
ranks, from when the first came."""
_CONTINUE = "The same command continues from the last checkpoint"
_SHOWN = 4


class Attendance:
    """The ranks of a session. Time is counted in looks, `BEAT_EVERY_S` apart."""

    def __init__(self, run_dir: Path, session: Session) -> None:
        """Wait for the ranks of a session that has just begun."""
        self._run_dir, self._session = run_dir, session
        self._ears = [Ear(run_dir / beat_of(session.id, rank)) for rank in range(session.world_size)]
        self._looks, self._complete = 0, False

    def look(self) -> None:
        """Look at all ranks; write down who they are once all have come."""
        for ear in self._ears:
            ear.listen()
        if self._session.hosts or self._came():
            self._looks += 1
        if not self._complete and len(self._came()) == len(self._ears):
            self._complete = True
            write_json(self._run_dir / RANKS, self.record())

    def record(self) -> dict[str, Any]:
        """Return which rank runs where."""
        shown = ("rank", "host", "pid", "device")
        ranks = [{name: ear.said[name] for name in shown} for ear in self._came()]
        hosts = sorted({one["host"] for one in ranks})
        return {
            "world_size": self._session.world_size,
            "starter": self._session.starter,
            "hosts": hosts,
            "ranks": ranks,
        }

    def have_ended(self) -> bool:
        """Return whether all ranks have come and said that they end."""
        return self._complete and all(ear.said["state"] == "ended" for ear in self._ears)

    def find_fault(self) -> UserError | None:
        """Return what is wrong with the ranks; None while nothing is."""
        if not self._complete:
            if self._looks * BEAT_EVERY_S < COME_WITHIN_S:
                return None
            here = {ear.path for ear in self._came()}
            missing = [rank for rank, ear in enumerate(self._ears) if ear.path not in here]
            message = f"{self._describe(missing)} did not come within {COME_WITHIN_S:.0f} s"
            return UserError(message, f"Look there, and at the log {self._run_dir}/run/log.txt")
        devices = {ear.said["device"] for ear in self._ears}
        if len(devices) > 1:
            lacking = [rank for rank, ear in enumerate(self._ears) if ear.said["device"] == "cpu"]
            message = f"{self._describe(lacking)} found no GPU that torch can use, but others did"
            return UserError(
                message, "Repair the driver there, leave that host out, or set DS_ACCELERATOR=cpu for all"
            )
        silent = [
            rank
            for rank, ear in enumerate(self._ears)
            if ear.said["state"] != "ended" and ear.looks_since * BEAT_EVERY_S >= SILENT_AFTER_S
        ]
        if silent:
            why = "killed, frozen, cut off or without power"
            return UserError(
                f"{self._describe(silent)} has been silent for {SILENT_AFTER_S:.0f} s: {why}", _CONTINUE
            )
        return None

    def _came(self) -> list[Ear]:
        return [ear for ear in self._ears if ear.said.get("session") == self._session.id]

    def _describe(self, ranks: list[int]) -> str:
        """Return hosts with their ranks: host b (ranks 2, 3)."""
        hosts: dict[str, list[int]] = {}
        for rank in ranks:
            hosts.setdefault(self._host_of(rank), []).append(rank)
        texts = [f"{host} (rank{'s'[: len(some) - 1]} {_shorten(some)})" for host, some in hosts.items()]
        return "; ".join(texts)

    def _host_of(self, rank: int) -> str:
        said = self._ears[rank].said
        if said.get("session") == self._session.id:
            return f"Host {said['host']}"
        first = 0
        for host in self._session.hosts:
            if rank < first + host.ranks:
                return f"Host {host.name}" if host.name else "A host"
            first += host.ranks
        return "A host"


def _shorten(ranks: list[int]) -> str:
    more = f" and {len(ranks) - _SHOWN} more" if len(ranks) > _SHOWN else ""
    return ", ".join(map(str, ranks[:_SHOWN])) + more
