"""Count the CPU cores that this process may use."""

import math
import os
from pathlib import Path


def usable_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the number of cores that this process may run on, limited by the CPU quota of its container.

    Args:
        groups: the mount point of the kernel's control groups (version 2).
        own: the file that names the control group of this process.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max: `<quota or max> <period>`, in microseconds).
    """
    return min([len(os.sched_getaffinity(0)), *_read_quotas(groups, own)])


def _read_quotas(groups: Path, own: Path) -> list[int]:
    """Return the CPU quotas of this process's control group and its parents, in whole cores, rounded up."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    quotas = []
    group = next((groups / line[3:].lstrip("/") for line in lines if line.startswith("0::")), groups)
    for folder in (group, *group.parents):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):  # above the mount point, or a kernel without cpu.max
            continue
        if quota != "max":
            quotas.append(max(1, math.ceil(int(quota) / int(period))))
    return quotas
