"""Figures that JSON can hold; test_report covers how records are gathered."""

import math

from sr.report.figures import replace_infinite


def test_numbers_that_json_cannot_hold_become_null():
    value = {"a": [1, math.inf, {"b": -math.inf}], "c": math.nan, "d": "inf", "e": 0.5}
    assert replace_infinite(value) == {"a": [1, None, {"b": None}], "c": None, "d": "inf", "e": 0.5}
