import os

import pytest

from data.cpu_count import usable_cores


@pytest.mark.parametrize(
    ("own", "parent", "expected"),
    [
        ("200000 100000", "max 100000", 2),
        ("max 100000", "250000 100000", 3),
        ("400000 100000", "50000 100000", 1),
        ("max 100000", None, 8),
        ("9900000 100000", None, 8),
    ],
)
def test_the_smaller_of_cores_and_quotas_is_returned(own, parent, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    group = tmp_path / "slice" / "job"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text(own + "\n")
    if parent:
        (group.parent / "cpu.max").write_text(parent + "\n")
    (tmp_path / "own").write_text("1:cpu:/other\n0::/slice/job\n")
    assert usable_cores(tmp_path, tmp_path / "own") == expected


def test_without_control_groups_the_number_of_cores_is_returned(tmp_path):
    assert usable_cores(tmp_path, tmp_path / "none") == len(os.sched_getaffinity(0))
