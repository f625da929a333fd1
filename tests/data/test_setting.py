import dataclasses
import math

import pytest

from data.errors import UserError
from data.setting import check_values, setting, settings_of


@dataclasses.dataclass(frozen=True)
class Job:
    path: str
    size: int = setting(3, "a size", at_least=1)
    share: float = setting(0.5, "a share", above=0, at_most=1)
    mode: str = setting("slow", "a mode", ("slow", "fast"))
    name: str = setting("", "any text")


def test_what_is_declared_is_a_setting_and_other_fields_are_not():
    assert list(settings_of(Job)) == ["size", "share", "mode", "name"]
    assert settings_of(Job("x"))["share"].bounds == {"above": 0, "at_most": 1}
    check_values(Job("x", 1, 1.0, "fast", "?"), "section")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 0}, "[section] size must be a finite number, at least 1, not 0"),
        ({"share": 0.0}, "[section] share must be a finite number, above 0 and at most 1, not 0.0"),
        ({"share": math.nan}, "not nan"),
        ({"size": math.inf}, "not inf"),
        ({"mode": "idle"}, "[section] mode must be one of slow, fast, not 'idle'"),
    ],
)
def test_values_out_of_range_are_refused_by_name(change, words):
    with pytest.raises(UserError) as refused:
        check_values(dataclasses.replace(Job("x"), **change), "section")
    assert words in str(refused.value)
