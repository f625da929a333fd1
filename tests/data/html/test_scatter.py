"""Scatter charts join the best points by steps, and escape labels."""

import re

import pytest

from data.html.scatter import Dot, draw_scatter

DOTS = [Dot("a", 1.0, 30.0, True), Dot("b", 2.0, 29.0), Dot("<c>", 3.0, 31.5, True)]


def test_the_best_points_are_joined_from_left_to_right_and_labelled():
    drawn = str(draw_scatter(list(reversed(DOTS)), title="t", x_label="ms", y_label="dB"))
    (line,) = re.findall(r'class="curve-line" d="M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)"', drawn)
    left, low, right, high = map(float, line)
    assert left < right and low > high
    assert drawn.count("<circle") == 3 and drawn.count('class="curve-dot"') == 2
    assert "&lt;c&gt;" in drawn and "<c>" not in drawn
    assert drawn == str(draw_scatter(list(reversed(DOTS)), title="t", x_label="ms", y_label="dB"))


def test_a_single_point_and_none():
    assert "<circle" in draw_scatter(DOTS[:1], title="t", x_label="ms", y_label="dB")
    with pytest.raises(ValueError, match="at least one"):
        draw_scatter([], title="t", x_label="ms", y_label="dB")
