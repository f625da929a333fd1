"""What the process that starts the ranks writes for them into the store, and what a rank checks before it joins."""

import contextlib
import importlib.metadata
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.atomic_files import read_json, write_json
from data.code_hash import hash_code
from data.errors import UserError
from data.hashing import sha256_file
from data.mounts import refresh_names
from data.record_json import from_plain, to_plain
from sr.distributed.run_files import SESSION
from sr.distributed.team import HostRanks, Team

SESSION_VARIABLE = "SUPER_RESOLUTION_SESSION"
"""Environment variable with the id of the session that a rank belongs to."""
SEEN_WITHIN_S = 15.0
"""How long a rank waits for the session's file: a store may show a new file late."""
ABSENT_WITHIN_S = 5.0
"""The same where the folder of the runs is not even there, or empty: a place where nothing is mounted."""
_CODE = ("data", "sr")
_LIBRARIES = ("deepspeed", "numpy", "opencv-python", "torch")
"""Libraries that ranks must have in one version: what they exchange or compute depends on it."""
_FORWARDED = (
    "DS_",
    "OMP_",
    "MKL_",
    "KMP_",
    "NCCL_",
    "GLOO_",
    "TORCH_",
    "UCX_",
    "FI_",
    "CUBLAS_",
    "NVIDIA_TF32",
)
"""How the names of variables begin that decide how ranks compute and speak with each other."""


@dataclass(frozen=True)
class Session:
    """One start of the ranks of a run."""

    id: str
    """Random: another store, or another start, has another one."""
    starter: str
    """Name of the host of the process that starts the ranks."""
    starter_pid: int
    over_hosts: bool
    """Whether the ranks watch the starter's heartbeat. On one host a supervisor ends them."""
    world_size: int
    hosts: tuple[HostRanks, ...]
    """The hosts and their ranks, in order; empty where another program places the ranks."""
    code: str
    """Hash of the program's files."""
    libraries: dict[str, str]
    files: dict[str, str]
    """SHA-256 of files that the ranks need, by their paths relative to the run's directory."""
    environment: dict[str, str]
    """Variables that every rank gets."""


def open_session(run_dir: Path, team: Team, files: tuple[Path, ...]) -> Session:
    """Begin a session: write what the ranks must find.

    Args:
        run_dir: the run's directory.
        team: which ranks there are.
        files: files that must be the same for every rank.

    Raises:
        UserError: one of them can't be read.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}
    hash_code.cache_clear()  # this process may have started long ago: the ranks load the files as they are now
    session = Session(
        id=secrets.token_hex(8),
        starter=socket.gethostname(),
        starter_pid=os.getpid(),
        over_hosts=team.over_hosts,
        world_size=team.world_size,
        hosts=team.hosts,
        code=hash_code(_CODE),
        libraries=_library_versions(),
        files={os.path.relpath(path, run_dir): _hash(path, socket.gethostname()) for path in files},
        environment=environment,
    )
    write_json(run_dir / SESSION, to_plain(session))
    return session


def join_session(
    run_dir: Path, environment: Mapping[str, str] = os.environ, pause: Callable[[float], object] = time.sleep
) -> Session:
    """Return the session that this process belongs to, once this host has what it needs.

    Args:
        run_dir: the run's directory.
        environment: may name the session's id.
        pause: waits a number of seconds.

    Raises:
        UserError: the store is not mounted on this host, or is another one; or this host has other code, libraries or
            files.
    """
    expected, path, waited_s = environment.get(SESSION_VARIABLE, ""), run_dir / SESSION, 0.0
    while not (fields := _read_fields(path)) or (expected and fields.get("id") != expected):
        if waited_s >= (SEEN_WITHIN_S if _has_content(run_dir.parent) else ABSENT_WITHIN_S):
            raise _no_store(run_dir, fields)
        pause(1.0)
        waited_s += 1.0
    if fields.get("over_hosts"):
        _check_code(fields)
    session = from_plain(Session, fields, str(path))
    for name, sha256 in session.files.items():
        _check_file(run_dir / name, sha256, session)
    return session


def _has_content(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(folder.iterdir())
    return False


def _read_fields(path: Path) -> dict[str, object]:
    # Of a folder that was missing a moment ago, the one above it is asked.
    refresh_names(next(folder for folder in path.parents if folder.is_dir()))
    with contextlib.suppress(OSError, UserError, ValueError):
        return dict(read_json(path))
    return {}


def _no_store(run_dir: Path, fields: dict[str, object]) -> UserError:
    hint = "Mount the store that all hosts share, under the same path, and run the same command again"
    if fields:
        return UserError(f"{run_dir} is in another store than on the host that starts the training", hint)
    return UserError(f"{run_dir / SESSION} is not here: the store is not mounted, or another one is", hint)


def _check_code(fields: dict[str, object]) -> None:
    hint = "Install the same version of this program, and of its libraries, on every host"
    if fields.get("code") != hash_code(_CODE):
        raise UserError(
            f"The program's files in {Path(__file__).parents[2]} differ from those of host {fields.get('starter')}",
            hint,
        )
    here, there = _library_versions(), fields.get("libraries")
    if here != there and isinstance(there, dict):
        names = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
        listed = ", ".join(f"{name} {here.get(name)} here and {there.get(name)} there" for name in names)
        raise UserError(f"Libraries differ from those of host {fields.get('starter')}: {listed}", hint)


def _check_file(path: Path, sha256: str, session: Session) -> None:
    if _hash(path, session.starter) != sha256:
        message = f"{path} has another content than on host {session.starter}"
        raise UserError(message, "Mount the same store on every host, and run the same command again")


def _hash(path: Path, starter: str) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise UserError(
            message, f"It must be there on every host, as on {starter}: mount the same store"
        ) from error


def _library_versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found
