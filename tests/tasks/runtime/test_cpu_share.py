import pytest

from tasks.runtime import cpu_share


@pytest.mark.parametrize(
    ("workers", "shards", "expected"),
    [
        (1, 6, [8] * 6),
        (32, 6, [2, 2, 1, 1, 1, 1]),
        (32, 2, [4, 4]),
        (5, 100, [2, 2, 2, 1, 1] * 20),
        (32, 100, [1] * 100),
    ],
)
def test_tasks_that_run_side_by_side_fill_the_machine_once(workers, shards, expected, monkeypatch):
    monkeypatch.setattr(cpu_share, "usable_cores", lambda: 8)
    monkeypatch.setattr(cpu_share, "core", lambda: type("Core", (), {"workers": workers}))
    assert [cpu_share.cpu_share(shards, position) for position in range(shards)] == expected
