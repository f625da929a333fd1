"""Charts: round ticks, points at their positions, and labels that cannot break a page."""

import math
from xml.etree import ElementTree

import pytest

from data.html.line_chart import (
    HEIGHT,
    WIDTH,
    Axis,
    Marker,
    ReferenceLine,
    choose_ticks,
    draw_chart,
    svg_path,
)

SQUARE = (Axis(0.0, 10.0, 0.0, 100.0), Axis(0.0, 10.0, 100.0, 0.0))


def _draw(points, **options):
    return ElementTree.fromstring(
        draw_chart(points, title="Loss", x_label="epoch", y_label="loss", **options)
    )


def _texts(drawing):
    return [element.text for element in drawing.iter("text")]


@pytest.mark.parametrize(
    ("low", "high", "most", "wanted"),
    [
        (0.0, 10.0, 5, [0.0, 2.5, 5.0, 7.5, 10.0]),
        (1.0, 30.0, 7, [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]),
        (0.0191, 0.0273, 5, [0.02, 0.022, 0.024, 0.026]),
        (-1.0, 1.0, 5, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (31.0, 31.0001, 3, [31.0, 31.00005, 31.0001]),
        (1.0, 10_000.0, 7, [2000.0, 4000.0, 6000.0, 8000.0, 10_000.0]),
    ],
)
def test_ticks_are_round_and_inside(low, high, most, wanted):
    assert choose_ticks(low, high, most) == pytest.approx(wanted)


def test_there_are_never_more_ticks_than_allowed():
    for exponent in range(-40, 40):
        span = 1.37**exponent
        found = choose_ticks(0.3 * span, 1.3 * span, 5)
        assert 2 <= len(found) <= 5
        assert all(0.3 * span * 0.999 <= value <= 1.3 * span * 1.001 for value in found)


def test_path_goes_through_the_points_with_y_upwards():
    assert svg_path([(0, 0), (5, 10), (10, 2.5)], *SQUARE) == "M0.0 100.0L50.0 0.0L100.0 75.0"


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_path_is_interrupted_where_a_value_is_not_finite(hole):
    assert svg_path([(0, 0), (1, 1), (2, hole), (3, 3)], *SQUARE) == "M0.0 100.0L10.0 90.0M30.0 70.0"


def test_everything_is_inside_the_chart():
    drawing = _draw(
        [(1, 0.5), (2, 0.25), (3, 0.2)],
        references=[ReferenceLine("bicubic", 0.9)],
        markers=[Marker("best", 3, 0.2)],
    )
    assert drawing.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    heights = [float(circle.get("cy")) for circle in drawing.iter("circle")]
    dashed = next(line for line in drawing.iter("path") if line.get("class") == "curve-reference")
    heights.append(float(dashed.get("d").split("H")[0].split()[1]))
    assert all(0 < height < HEIGHT for height in heights)
    assert heights[1] < heights[0]  # the higher value is higher up
    assert {"bicubic", "best", "epoch", "loss"} <= set(_texts(drawing))


def test_x_ticks_are_whole_numbers():
    drawing = _draw([(1, 0.0), (2, 10.0), (3, 20.0)])
    bottom = max(
        float(element.get("y")) for element in drawing.iter("text") if "middle" in element.get("class")
    )
    assert [e.text for e in drawing.iter("text") if float(e.get("y")) == bottom] == ["1", "2", "3"]


def test_a_single_point_is_visible():
    drawing = _draw([(1, 0.0)])
    (dot,) = drawing.iter("circle")
    assert (float(dot.get("cx")), float(dot.get("cy"))) != (0.0, 0.0)


def test_a_level_line_is_drawn():
    assert "nan" not in draw_chart([(1, 30.0), (2, 30.0)], title="", x_label="", y_label="")


def test_labels_are_escaped():
    nasty = '</text><script>"&'
    drawing = ElementTree.fromstring(
        draw_chart([(1, 1)], title=nasty, x_label=nasty, y_label=nasty, markers=[Marker(nasty, 1, 1)])
    )
    assert drawing.get("aria-label") == nasty
    assert _texts(drawing).count(nasty) == 3
    assert not list(drawing.iter("script"))


def test_a_chart_without_finite_points_raises():
    with pytest.raises(ValueError, match="none among 1"):
        draw_chart([(1, math.nan)], title="", x_label="", y_label="")
