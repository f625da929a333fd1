"""How many cores this process may keep busy."""

import math
import os
from pathlib import Path


def usable_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the cores that this process may run on, or as many as its container's CPU quota is worth, if fewer.

    Args:
        groups: where the kernel's control groups (version 2) are mounted.
        own: the file that says which of them this process is in.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max: `<quota or max> <period>`, in microseconds).
    """
    return min([len(os.sched_getaffinity(0)), *_quotas(groups, own)])


def _quotas(groups: Path, own: Path) -> list[int]:
    """Return the quotas of this process's group and those above it, in whole cores, rounded up."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    found = []
    group = next((groups / line[3:].lstrip("/") for line in lines if line.startswith("0::")), groups)
    for one in (group, *group.parents):
        try:
            quota, period = (one / "cpu.max").read_text().split()
        except (OSError, ValueError):  # outside of the mount, or a kernel without it
            continue
        if quota != "max":
            found.append(max(1, math.ceil(int(quota) / int(period))))
    return found
