"""The files of a run directory through which the ranks and the process that starts them deal with each other."""

PARENT_LOCK = "run/parent.lock"
"""Held by the process that starts the ranks, from before the first change until the end."""
LOCK = "run/lock"
"""Held by the supervisor of running ranks."""
LOG = "run/log.txt"
"""What the ranks print."""
ERRORS = "run/errors"
"""Directory of the errors that ended the ranks; see `rank_errors`."""
SESSION = "run/session.json"
"""The Session: what the ranks must find on their host."""
HEARTBEAT = "run/heartbeat"
"""Changes while the process that starts the ranks lives; see `heartbeat`."""
BEATS = "run/beats"
"""Directory of the heartbeats of the ranks."""
RANKS = "run/ranks.json"
"""Which rank ran on which host, and how: the Attendance of the latest session."""


def beat_of(session_id: str, rank: int) -> str:
    """Return the path of the heartbeat of a rank in one session: one that was frozen writes beside no later one."""
    return f"{BEATS}/{session_id}/rank-{rank:05d}"


def sign_of(session_id: str, host: int) -> str:
    """Return the path of the sign that the host program of a host has begun, in one session."""
    return f"{BEATS}/{session_id}/host-{host:05d}"


def lock_of(rank: int) -> str:
    """Return the path of the lock of a rank's supervisor."""
    return f"run/locks/rank-{rank:05d}"
