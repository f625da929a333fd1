"""What kind of mount a directory is on, and which options of it would fix what a check found."""

import dataclasses
import re
from pathlib import Path

from data.mounts import mount_of
from data.store_check.checks import Finding, State, Topic

_FUSE_CACHES = "attr_timeout=0, entry_timeout=0 and negative_timeout=0"
_ADVICE: dict[Topic, tuple[tuple[str, str], ...]] = {
    Topic.VISIBLE: (
        ("nfs", "lookupcache=positive and acdirmax=3 (exact, and slow: noac)"),
        ("cifs|smb3", "cache=strict and actimeo=1"),
        ("fuse.sshfs", "dir_cache=no, " + _FUSE_CACHES),
        ("fuse.glusterfs", "attribute-timeout=0, entry-timeout=0 and negative-timeout=0"),
        ("beegfs", "tuneDirSubentryCacheValidityMS = 0 in beegfs-client.conf"),
        ("fuse", _FUSE_CACHES),
        ("9p", "cache=none"),
    ),
    Topic.LOCKS: (
        ("nfs4", "local_lock=none"),
        ("nfs", "vers=4, or without nolock and local_lock"),
        ("lustre", "flock (neither noflock nor localflock)"),
        ("cifs|smb3", "without nobrl"),
        ("beegfs", "tuneUseGlobalFileLocks = true in beegfs-client.conf"),
        ("fuse.sshfs", "another file system: sshfs has no locks between hosts"),
    ),
    Topic.RENAME: (
        ("fuse", "another file system: many FUSE mounts of object stores rename by copying"),
        (".*", "another file system (NFS version 4, Lustre, CephFS, BeeGFS, or a local disk)"),
    ),
    Topic.FSYNC: (("cifs|smb3", "without nostrictsync"),),
}
"""Options by the beginning of the file system's type (a regular expression), the first that fits."""


@dataclasses.dataclass(frozen=True)
class Mount:
    """A mount, as the kernel lists it."""

    point: Path
    kind: str
    """The file system's type: ext4, nfs4, fuse.sshfs …"""
    options: frozenset[str]
    """Its own options and those of its file system: rw, nolock, acdirmax=60 …"""


def find_mount(path: Path, listing: Path = Path("/proc/self/mountinfo")) -> Mount:
    """Return the mount that a directory is on; of an unknown type where the kernel does not list it.

    Source: https://docs.kernel.org/filesystems/proc.html, section 3.5.
    """
    point = mount_of(path)
    found = Mount(point, "unknown", frozenset())
    try:
        lines = listing.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return found
    for line in lines:  # the last mount at a point hides the others
        before, _, after = line.partition(" - ")
        fields, (kind, _, *rest) = before.split(), after.split()
        if _unescape(fields[4]) == str(point):
            found = Mount(point, kind, frozenset(",".join([fields[5], *rest]).split(",")))
    return found


def check_options(mount: Mount) -> list[Finding]:
    """Return what the options of a mount say that no check between processes of one host can find."""
    findings = []
    local = sorted(mount.options & {"nolock", "local_lock=all", "local_lock=flock", "localflock", "nobrl"})
    if local or (mount.kind == "lustre" and "flock" not in mount.options):
        how = ", ".join(local) or "no flock"
        text = f"Mounted with {how}: file locks do not reach other hosts. Preparing data needs none."
        findings.append(Finding(Topic.LOCKS, State.LIMITED, text))
    if mount.kind.startswith("nfs") and not mount.options & {
        "noac",
        "lookupcache=positive",
        "lookupcache=none",
    }:
        seconds = next((one[9:] for one in mount.options if one.startswith("acdirmax=")), "60")
        text = f"Other hosts may find a new file {seconds} s late (acdirmax), and make the same shards once more."
        findings.append(Finding(Topic.VISIBLE, State.LIMITED, text))
    return findings


def advise(mount: Mount, topic: Topic) -> str:
    """Return which option of a mount would fix a topic; empty if none is known."""
    for kinds, options in _ADVICE[topic]:
        if re.match(kinds, mount.kind):
            return options
    return ""


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
