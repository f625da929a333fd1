from data.memory import available_memory_bytes


def machine_of(tmp_path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:  100 kB\nMemAvailable:   60 kB\nHugePages_Total:   0\n")
    return path


def write_group(folder, limit, used, inactive):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_the_tightest_limit_counts(tmp_path):
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    own.write_text("0::/a/b\n")
    assert available_memory_bytes(groups, own, machine_of(tmp_path)) == 60 * 1024
    write_group(groups / "a", 40_000, 15_000, 5_000)
    write_group(groups / "a/b", "max", 10_000, 0)
    assert available_memory_bytes(groups, own, machine_of(tmp_path)) == 30_000
    write_group(groups / "a/b", 9_000, 10_000, 0)
    assert available_memory_bytes(groups, own, machine_of(tmp_path)) == 0


def test_a_machine_without_control_groups_has_what_the_kernel_says(tmp_path):
    nowhere = tmp_path / "none"
    assert available_memory_bytes(nowhere, nowhere, machine_of(tmp_path)) == 60 * 1024
    assert available_memory_bytes() > 0
