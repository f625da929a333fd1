"""Try a directory as a store, and say what holds there, what does not, and which mount options would fix it."""

import contextlib
import dataclasses
import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.errors import UserError
from data.exhaustion import hint_of
from data.store_check.checks import Finding, State, Topic, run_checks
from data.store_check.mount_options import Mount, advise, check_options, find_mount
from data.store_check.view import View, local_view, ssh_view

EXIT_CODES = {State.OK: 0, State.LIMITED: 3, State.BROKEN: 1}
_WORDS = {State.OK: "ok", State.LIMITED: "limited", State.BROKEN: "BROKEN"}
_VERDICTS = {
    State.OK: "can be a store",
    State.LIMITED: "can be a store, with the limits above",
    State.BROKEN: "can't be a store",
}


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found about one directory."""

    mount: Mount
    findings: dict[str, list[Finding]]
    """By the other view: what was found between this process and it; "" for what the mount's options say."""

    @property
    def state(self) -> State:
        """The worst of all findings."""
        return max((one.state for found in self.findings.values() for one in found), default=State.OK)


def examine(store: Path, hosts: Sequence[str] = (), also: Path | None = None, wait_s: float = 70) -> Report:
    """Run every check in a directory of its own below `store`, which is removed at the end.

    Args:
        store: the directory to try.
        hosts: other hosts, NAME or NAME:PATH where the directory has another path there. Without any, another
            process of this host.
        also: the same directory by another path of this host, such as a second mount of it.
        wait_s: how long to wait for what another does not see at once; NFS remembers for 60 s.

    Raises:
        UserError: the directory does not exist or can't be written, or a host can't be reached.
    """
    mount = find_mount(store)
    findings = {"": check_options(mount)} if check_options(mount) else {}
    for host, path in [_split_host(host, store) for host in hosts] or [("", also or store)]:
        with _scratch_folder(store) as folder:
            there = ssh_view(host, f"{path}/{folder}") if host else local_view(f"{path}/{folder}")
            with contextlib.closing(there):
                here = View("this process", f"{store}/{folder}")
                if there.call("wait_for_folder", path=".", seconds=wait_s):
                    findings[there.name] = run_checks(here, there, wait_s)
                else:
                    text = (
                        f"A new directory in {path} is not seen within {wait_s:g} s. Is it the same {store}?"
                    )
                    findings[there.name] = [Finding(Topic.VISIBLE, State.BROKEN, text)]
    return Report(mount, findings)


def render(report: Report, store: Path) -> Iterator[str]:
    """Yield the lines of a report, the verdict last."""
    yield f"{store} is on {report.mount.point}, a mount of type {report.mount.kind}."
    for name, found in report.findings.items():
        yield f"Between this process and {name}:" if name else "By its mount options:"
        yield from (f"  {_WORDS[one.state]:8}{one.text}" for one in found)
    faults = [one for found in report.findings.values() for one in found if one.state is not State.OK]
    for topic in dict.fromkeys(one.topic for one in faults):
        if options := advise(report.mount, topic):
            yield f"Mount options for {topic}: {options}."
    yield f"{store} {_VERDICTS[report.state]}."


def _split_host(host: str, store: Path) -> tuple[str, Path]:
    name, _, path = host.partition(":")
    if not name or name.startswith("-"):
        raise UserError(
            f"{host!r} is not a host", "Give names that ssh knows, or NAME:PATH, separated by commas"
        )
    return name, Path(path) if path else Path(os.path.abspath(store))


@contextlib.contextmanager
def _scratch_folder(store: Path) -> Iterator[str]:
    """Make a directory for the checks in the store, and remove it; yield its name."""
    name = f".srf-doctor-{secrets.token_hex(4)}"
    try:
        (store / name).mkdir()
    except OSError as error:
        if error.errno == errno.ENOENT and not store.exists():
            raise UserError(
                f"There is no directory {store}", "Make it, or mount what should be there"
            ) from None
        message = f"{store} can't be written: {error.strerror}"
        raise UserError(message, hint_of(error) or "Check its permissions and its mount") from None
    try:
        yield name
    finally:
        shutil.rmtree(store / name, ignore_errors=True)
