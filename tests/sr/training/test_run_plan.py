import dataclasses

import pytest

from sr.training import run_plan
from sr.training.job import TrainingJob
from sr.training.run_plan import WARM_UP_STEPS, Announcements

JOB = TrainingJob("realtime-x2", "", "", patch_px=64)
FIRST = 500


@pytest.mark.parametrize(
    ("stages", "steps", "expected"),
    [
        ("", 72_000, ["10.0 steps a second: about 2.0 hours to go, validation not counted."]),
        ("", 1_800, ["10.0 steps a second: about 3 minutes to go, validation not counted."]),
        ("32:0.5", 72_560, ["10.0 steps a second: about 5.0 hours to go, validation not counted."]),
        ("", 0, []),
    ],
)
def test_the_time_to_go_is_estimated_once_from_the_steps_after_the_warm_up(
    tmp_path, monkeypatch, stages, steps, expected
):
    now, job = [0.0], dataclasses.replace(JOB, patch_stages=stages)
    monkeypatch.setattr(run_plan.time, "perf_counter", lambda: now[0])
    total = FIRST + 60 + steps
    announcements = Announcements(tmp_path / "plan.txt", job, FIRST, total)
    announcements.add(["A line."])
    for made in range(1, min(200, 60 + steps) + 1):
        now[0] += 100.0 if made <= WARM_UP_STEPS else 0.1
        announcements.estimate_hours(FIRST + made)
    assert (tmp_path / "plan.txt").read_text().splitlines() == ["A line.", *expected]
