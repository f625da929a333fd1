"""What the store relies on, each tried between two views of a directory: what one does, and when the other sees it."""

import dataclasses
import enum
import errno
from collections.abc import Callable

from data.mounts import LACKS_LOCKS
from data.store_check.view import View

_REPLACEMENTS = 200
_LATE_S = 0.5
"""A message between two processes of the check takes less."""


class State(enum.IntEnum):
    """How much of what is relied on holds; the larger, the worse."""

    OK = 0
    LIMITED = 1
    """The store works here, with a cost or a restriction that the detail names."""
    BROKEN = 2
    """The store can't be here."""


class Topic(enum.StrEnum):
    """What a finding is about: mount options are looked up by it."""

    RENAME = "renames"
    VISIBLE = "what is seen late"
    LOCKS = "file locks"
    FSYNC = "fsync"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found."""

    topic: Topic
    state: State
    text: str
    """What was tried, what came of it, and what that means for a run."""


def run_checks(here: View, there: View, wait_s: float) -> list[Finding]:
    """Run all checks between this process and another.

    Args:
        here, there: two views of one empty directory.
        wait_s: how long to wait for what the other does not see at once.
    """
    checks: tuple[Callable[[View, View, float], Finding], ...] = (
        check_fsync, check_rename, check_new_file, check_replaced_file, check_removed_file, check_locks
    )  # fmt: skip
    return [check(here, there, wait_s) for check in checks]


def check_fsync(here: View, there: View, wait_s: float) -> Finding:
    """Check that written files, and the names of a directory, can be flushed to the disk."""
    for what, do, arguments in (
        ("files", "write", {"path": "fsync", "text": "x"}),
        ("directories", "sync_folder", {"path": "."}),
    ):
        try:
            here.call(do, **arguments)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
                return Finding(
                    Topic.FSYNC, State.BROKEN, f"Flushing {what} to the disk fails: {error.strerror}."
                )
            text = (
                f"No fsync of {what}: a power cut may damage the newest files. Run VerifyDataset after one."
            )
            return Finding(Topic.FSYNC, State.LIMITED, text)
    return Finding(Topic.FSYNC, State.OK, "Files and directories are flushed to the disk by fsync.")


def check_rename(here: View, there: View, wait_s: float) -> Finding:
    """Check that a reader finds a whole file while it is replaced again and again."""
    texts = [f"{number:04d}" * 2000 for number in range(_REPLACEMENTS)]
    try:
        here.call("write", path="replaced", text=texts[0])
        if (late := there.call("wait_for", path="replaced", text=texts[0], seconds=wait_s)) is None:
            return _invisible("a new file", wait_s)
        there.begin("watch", path="replaced", texts=texts, seconds=wait_s + late)
        for text in texts[1:]:
            here.call("replace", part="part", path="replaced", text=text)
        strange = there.end()
    except OSError as error:
        return Finding(
            Topic.RENAME, State.BROKEN, f"Replacing a file while it is read fails: {error.strerror}."
        )
    if not strange:
        text = f"A file was replaced {_REPLACEMENTS - 1} times by rename, and a reader always found it whole."
        return Finding(Topic.RENAME, State.OK, text)
    seen = (
        "no file" if None in strange else f"{min(len(one or '') for one in strange)} bytes of {len(texts[0])}"
    )
    text = f"While a file was replaced by rename, a reader found {seen}. Results in such a store can't be trusted."
    return Finding(Topic.RENAME, State.BROKEN, text)


def check_new_file(here: View, there: View, wait_s: float) -> Finding:
    """Check when the other finds a file that it has looked for in vain."""
    there.call("exists", path="new")
    there.call("listed", path=".")
    here.call("replace", part="part", path="new", text="new")
    return _find_delay(
        "a new file", there, "new", "new", wait_s, "meanwhile it makes the same shards once more"
    )


def check_replaced_file(here: View, there: View, wait_s: float) -> Finding:
    """Check when the other reads what has replaced a file that it has read, of the same size."""
    here.call("replace", part="part", path="record", text="one")
    there.call("wait_for", path="record", text="one", seconds=wait_s)
    here.call("replace", part="part", path="record", text="two")
    return _find_delay(
        "a replaced file", there, "record", "two", wait_s, "meanwhile it works with the old one"
    )


def check_removed_file(here: View, there: View, wait_s: float) -> Finding:
    """Check when the other notices that a file is gone."""
    here.call("replace", part="part", path="gone", text="here")
    there.call("wait_for", path="gone", text="here", seconds=wait_s)
    here.call("remove", path="gone")
    return _find_delay("that a file is gone", there, "gone", None, wait_s, "meanwhile it takes it for done")


def check_locks(here: View, there: View, wait_s: float) -> Finding:
    """Check that a lock that one holds keeps out the other. Preparing data needs none."""
    try:
        here.call("lock", path="lock")
    except OSError as error:
        if error.errno not in LACKS_LOCKS:
            return Finding(Topic.LOCKS, State.LIMITED, f"Taking a file lock fails: {error.strerror}.")
        text = "No file locks. Data can be prepared; downloads, trainings and videos refuse this directory."
        return Finding(Topic.LOCKS, State.LIMITED, text)
    try:
        is_free = there.call("lock", path="lock")
    except OSError as error:
        text = f"File locks work here, but on {there.name} they fail: {error.strerror}."
        return Finding(Topic.LOCKS, State.LIMITED, text)
    finally:
        here.call("unlock", path="lock")
    if not is_free:
        return Finding(Topic.LOCKS, State.OK, "A file lock that one holds keeps out the other.")
    there.call("unlock", path="lock")
    text = (
        "A file lock holds on one side only. Any number of hosts can prepare data; start downloads, trainings and "
        "videos of one directory on one host at a time."
    )
    return Finding(Topic.LOCKS, State.LIMITED, text)


def _find_delay(
    what: str, there: View, path: str, text: str | None, wait_s: float, meanwhile: str
) -> Finding:
    """Wait until the other sees the latest state of a file, and say how long that took."""
    try:
        late = there.call("wait_for", path=path, text=text, seconds=wait_s)
    except OSError as error:
        problem = f"Looking for {what} fails on {there.name}: {error.strerror}."
        return Finding(Topic.VISIBLE, State.BROKEN, problem)
    if late is None:
        return _invisible(what, wait_s)
    if late > _LATE_S:
        seen = f"{there.name} sees {what} {late:.1f} s late: {meanwhile}."
        return Finding(Topic.VISIBLE, State.LIMITED, seen[0].upper() + seen[1:])
    return Finding(Topic.VISIBLE, State.OK, f"The other sees {what} at once.")


def _invisible(what: str, wait_s: float) -> Finding:
    text = f"The other does not see {what} within {wait_s:g} s. Is it the same directory?"
    return Finding(Topic.VISIBLE, State.BROKEN, text)
