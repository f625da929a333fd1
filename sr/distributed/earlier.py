"""Refuse a run directory in which ranks of an earlier start still live, on whatever host."""

import time
from collections.abc import Callable
from pathlib import Path

from data.atomic_files import read_json
from data.errors import UserError
from sr.distributed.heartbeat import BEAT_EVERY_S, SILENT_AFTER_S, HeartbeatReader
from sr.distributed.run_files import BEATS, HEARTBEAT, SESSION

QUIET_S = 4.0
"""Who has not changed its file for so long is taken for dead here. A rank that was frozen and wakes up later ends by
itself, as the session is another one."""
_END_WITHIN_S = SILENT_AFTER_S + 15.0


def wait_for_earlier_ranks(
    run_dir: Path, say: Callable[[str], object], pause: Callable[[float], object] = time.sleep
) -> None:
    """Return once nothing of an earlier session lives: at once after a session that ended in order.

    Args:
        run_dir: the run's directory.
        say: called with a line if ranks have to be waited for.
        pause: waits a number of seconds.

    Raises:
        UserError: another process trains here, or its ranks do not end.
    """
    if not (run_dir / SESSION).is_file() or not read_json(run_dir / SESSION).get("over_hosts"):
        return
    starter, ranks = (
        HeartbeatReader(run_dir / HEARTBEAT),
        [HeartbeatReader(path) for path in sorted((run_dir / BEATS).glob("*/rank-*"))],
    )
    for reader in (starter, *ranks):
        reader.read()
    if starter.said.get("wish") == "end" and all(reader.said.get("state") == "ended" for reader in ranks):
        return
    quiet_s, waited_s = 0.0, 0.0
    while quiet_s < QUIET_S:
        pause(BEAT_EVERY_S)
        waited_s += BEAT_EVERY_S
        if starter.read() and starter.said.get("wish") != "end":
            host, pid = starter.said.get("host"), starter.said.get("pid")
            message = f"Another training is running in {run_dir}: host {host} has started it (process {pid})"
            raise UserError(message, "Wait for it, or stop it")
        living = [reader for reader in ranks if reader.read()]
        quiet_s = 0.0 if living else quiet_s + BEAT_EVERY_S
        named = ", ".join(
            sorted({f"{reader.said.get('host')} (process {reader.said.get('pid')})" for reader in living})
        )
        if living and waited_s >= _END_WITHIN_S:
            message = f"Ranks of an earlier start in {run_dir} do not end: on {named}"
            raise UserError(message, "End these processes, and run the same command again")
        if living and waited_s == BEAT_EVERY_S:
            say(f"Ranks of an earlier start are still ending on {named}.")
