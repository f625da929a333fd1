"""Histograms as SVG: one bar a bin, stacked, with thresholds that stay inside."""

import re
import xml.etree.ElementTree as ElementTree

from data.html.histogram import Threshold, draw_histogram
from data.html.line_chart import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH


def paths_of(drawing, kind):
    """Return the drawing commands of the paths of a class."""
    return [one.get("d") for one in ElementTree.fromstring(drawing).iter("path") if one.get("class") == kind]


def test_bars_are_stacked_and_empty_bins_have_none():
    drawing = draw_histogram([0, 1, 2, 3], [[2, 0, 4], [2, 1, 0]], title="t", x_label="levels")
    lower, upper = (paths_of(drawing, f"curve-bar{layer}")[0] for layer in (0, 1))
    assert (lower.count("z"), upper.count("z")) == (2, 2)
    (x, bottom, top), *_ = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", upper)
    assert float(x) == LEFT and float(top) < float(bottom) < HEIGHT - BOTTOM
    # The upper bar begins where the lower one ends.
    assert re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", lower)[0][2] == bottom


def test_thresholds_beyond_the_edges_are_drawn_at_the_border_and_labels_are_escaped():
    thresholds = [Threshold("<= 9", 9.0), Threshold(">= -9", -9.0)]
    drawing = draw_histogram([0, 1, 2], [[0, 0]], title="a<b", x_label="x", thresholds=thresholds)
    places = [float(one[1:].split(" ")[0]) for one in paths_of(drawing, "curve-reference")]
    assert places == [WIDTH - RIGHT, LEFT]
    assert "&lt;= 9" in drawing and 'aria-label="a&lt;b"' in drawing
