import numpy as np
import pytest

from data.errors import UserError
from pipeline.selection.rules import Rule, parse_rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("sharpness >= 1.5", Rule("sharpness", ">=", 1.5, False)),
        ("noise<=p95", Rule("noise", "<=", 95.0, True)),
        (" score > -2e-1 ", Rule("score", ">", -0.2, False)),
    ],
)
def test_a_rule_is_read_and_written(text, rule):
    assert parse_rule(text) == rule
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize("text", ["sharpness", "sharpness = 1", "noise < p101", "noise < 1.2.3", "< 3", ""])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(UserError, match="rule|number|percentile"):
        parse_rule(text)


def test_a_crop_without_a_value_does_not_pass():
    values = np.array([1.0, np.nan, 3.0])
    assert parse_rule("x < 5").passes(values).tolist() == [True, False, True]
    assert parse_rule("x >= p100").passes(values).tolist() == [False, False, True]
