"""Find how much memory this process can still take."""

from pathlib import Path


def available_memory_bytes(
    groups: Path = Path("/sys/fs/cgroup"),
    own: Path = Path("/proc/self/cgroup"),
    machine: Path = Path("/proc/meminfo"),
) -> int:
    """Return the memory that this machine has to spare, limited by what its container may still take.

    Args:
        groups: the mount point of the kernel's control groups (version 2).
        own: the file that names the control group of this process.
        machine: the kernel's file on the memory of the machine.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max, memory.current, memory.stat).
    """
    fields = dict(line.split(":", 1) for line in machine.read_text().splitlines() if ":" in line)
    return min([1024 * int(fields["MemAvailable"].split()[0]), *_left_in_groups(groups, own)])


def _left_in_groups(groups: Path, own: Path) -> list[int]:
    """Return what is left of the limits of this process's control group and its parents."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    left = []
    group = next((groups / line[3:].lstrip("/") for line in lines if line.startswith("0::")), groups)
    for folder in (group, *group.parents):
        try:
            limit = (folder / "memory.max").read_text().strip()
            used = int((folder / "memory.current").read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # above the mount point, or a kernel without these files
            continue
        if limit != "max":
            # The cache of files that were not used lately is given up first.
            left.append(max(0, int(limit) - used + int(stat.get("inactive_file", 0))))
    return left
