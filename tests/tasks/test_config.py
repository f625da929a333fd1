import math

import pytest

from data.errors import UserError
from tasks import config


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
def test_the_shards_that_run_side_by_side_fill_the_machine_once(workers, shards, expected, monkeypatch):
    monkeypatch.setattr(config, "usable_cores", lambda: 8)
    monkeypatch.setattr(config, "core", lambda: type("Core", (), {"workers": workers}))
    assert [config.threads(shards, place) for place in range(shards)] == expected


@pytest.mark.parametrize(
    "change",
    [
        {"max_bad_fraction": math.nan},
        {"max_bad_fraction": -0.1},
        {"max_bad_fraction": 1.1},
        {"max_megapixels": math.nan},
        {"max_megapixels": 0.0},
    ],
)
def test_numbers_that_are_none_are_refused(change):
    config.crops().check()
    with pytest.raises(UserError, match=next(iter(change))):
        config.crops(**change).check()
