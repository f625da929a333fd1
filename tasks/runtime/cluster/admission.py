"""Admit a host to a run, or refuse it in one line: hosts of one run have the same settings, code and store.

Every host describes itself to luigid. The first one decides; one that comes later and differs is refused before it
takes any work. luigid's ids of tasks differ for such hosts as well (`task_ids`), so that no order of events mixes them.
"""

import importlib.metadata
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import luigi
from luigi.task_register import Register

from data.code_hash import hash_code
from data.errors import UserError
from data.version import VERSION
from tasks.runtime.cluster.errors import RefusedHost, Unplannable
from tasks.runtime.store import store
from tasks.runtime.store_task import StoreTask

INFO_KEY = "super_resolution"
"""The entry of a worker's description at luigid."""
_LIBRARIES = (
    "av", "fpng-py", "kornia-rs", "numpy", "opencv-python", "pillow", "pyarrow", "simplejpeg"
)  # fmt: skip
"""Libraries that decode, scale or encode: another version may give other bytes."""
_OF_THE_HOST = ("store", "cluster")
"""Sections that may differ between hosts."""
_SHOWN = 3


@dataclass(frozen=True)
class HostIdentity:
    """What a host would work with."""

    host: str
    """Its name."""
    root: str
    """Luigi's id of the task that the command names."""
    directory: str
    """Where in the store its result will be: a hash of all settings that change it."""
    code: str
    """A hash of this program's files."""
    store: str
    """The identity of the store; empty where none is mounted."""
    version: str = VERSION
    libraries: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Every key of this program's sections, to name the one that differs."""

    @classmethod
    def of_this_host(cls, root: luigi.Task, store_id: str) -> "HostIdentity":
        """Return what this host would work with.

        Raises:
            Unplannable: the inputs of the root cannot be found.
        """
        try:
            directory = root.directory_name if isinstance(root, StoreTask) else ""
        except UserError as error:
            raise Unplannable(error.message, error.hint) from error
        return cls(
            host=socket.gethostname(),
            root=root.task_id,
            directory=directory,
            code=hash_code(),
            store=store_id,
            libraries=_read_library_versions(),
            settings=_read_settings(),
        )

    @classmethod
    def from_plain(cls, plain: Any) -> "HostIdentity | None":
        """Return what luigid knows of another host; None for a worker of another program or version."""
        names = {one.name for one in fields(cls)}
        return cls(**plain) if isinstance(plain, dict) and set(plain) == names else None

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


def check_same(mine: HostIdentity, others: HostIdentity) -> None:
    """Check that this host may take part in a run that another host has begun.

    Raises:
        RefusedHost: it differs.
    """
    if mine.store != others.store:
        found = "is another one" if mine.store else "is not mounted here, or empty"
        raise RefusedHost(
            f"This host is refused: its store {store().root} {found}; host {others.host} runs the same task on "
            "its own",
            "Mount that store here under [store] root, and run again",
        )
    differences = _differences(mine, others)
    if differences:
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise RefusedHost(
            f"This host is refused: it differs from host {others.host}, which runs the same task: "
            f"{'; '.join(differences[:_SHOWN])}{more}",
            "Give both the same version, luigi.cfg and command, or wait until that run is over",
        )


def _differences(mine: HostIdentity, others: HostIdentity) -> list[str]:
    """Return in words what differs and changes results; empty if nothing does."""
    found = []
    if mine.directory != others.directory:
        found = [
            f"{name} is {mine.settings.get(name)!r} here and {others.settings.get(name)!r} there"
            for name in sorted(mine.settings.keys() | others.settings.keys())
            if mine.settings.get(name) != others.settings.get(name)
        ] or [
            f"other inputs (files, sizes, times): they would give {mine.directory} here, {others.directory} there"
        ]
    if mine.code != others.code:
        versions = {mine.version, others.version}
        found.append(
            f"version {mine.version} here and {others.version} there"
            if len(versions) > 1
            else f"the program's files (both call themselves {VERSION})"
        )
    found += [
        f"{name} {mine.libraries.get(name)} here and {others.libraries.get(name)} there"
        for name in sorted(mine.libraries.keys() | others.libraries.keys())
        if mine.libraries.get(name) != others.libraries.get(name)
    ]
    return found


def _read_library_versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def _read_settings() -> dict[str, str]:
    """Return every key of this program's sections, as text."""
    found: dict[str, str] = {}
    for section, cls in Register._get_reg().items():
        is_ours = (
            isinstance(cls, type) and issubclass(cls, luigi.Config) and not cls.__module__.startswith("luigi")
        )
        if is_ours and section not in _OF_THE_HOST:
            values = cls()
            found |= {
                f"[{section}] {name}": str(parameter.serialize(getattr(values, name)))
                for name, parameter in cls.get_params()
            }
    return found
