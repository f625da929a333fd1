"""Draw rate-distortion curves as inline SVG: several lines over the logarithm of the rate."""

import math
from collections.abc import Mapping

from markupsafe import Markup

from data.html.line_chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    choose_ticks,
    draw_text,
    svg_path,
)
from sr.codec_gain.curves import Points

COLORS = ("#1f6feb", "#8a8f98", "#b08800", "#2e9a8f", "#d9822b", "#a8471c", "#7a4fb5")
"""Of the curves, in order; more of them begin anew."""
_DASHES = ("", "5 4", "2 3")
_HEADROOM = 0.05
_Y_TICKS = 5
_RATE_STEPS = (1, 2, 5)


def color_of(number: int) -> str:
    """Return the color of a curve."""
    return COLORS[number % len(COLORS)]


def draw_curves(
    curves: Mapping[str, Points], *, title: str, y_label: str, crossover_kbps: float | None = None
) -> Markup:
    """Draw curves over a grid, each with its points.

    Args:
        curves: (kbit/s above 0, quality) by name; at least one point in all.
        title: read aloud by screen readers.
        y_label: what the y axis measures.
        crossover_kbps: a rate to mark with a vertical line.

    Returns:
        An <svg> element that scales with its container. All text in it is escaped.
    """
    points = [point for curve in curves.values() for point in curve]
    rates, levels = [rate for rate, _ in points], [level for _, level in points]
    room = (max(levels) - min(levels) or 1.0) * _HEADROOM
    low, high = math.log10(min(rates)), math.log10(max(rates))
    x_axis = Axis(low, high if high > low else low + 1, LEFT, WIDTH - RIGHT)
    y_axis = Axis(min(levels) - room, max(levels) + room, HEIGHT - BOTTOM, TOP)
    parts = [_draw_axes(x_axis, y_axis, y_label)]
    if crossover_kbps is not None:
        x = x_axis.position(math.log10(crossover_kbps))
        line = Markup('<path class="curve-reference" d="M{:.1f} {}V{}"/>').format(x, TOP, HEIGHT - BOTTOM)
        parts.append(line)
    for number, curve in enumerate(curves.values()):
        parts.append(_draw_curve(number, curve, x_axis, y_axis))
    frame = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>')
    return frame.format(WIDTH, HEIGHT, title, Markup("\n").join(parts))


def _draw_curve(number: int, curve: Points, x_axis: Axis, y_axis: Axis) -> Markup:
    color, dash = color_of(number), _DASHES[number // len(COLORS) % len(_DASHES)]
    placed = [(math.log10(rate), level) for rate, level in sorted(curve)]
    line = Markup('<path fill="none" stroke="{}" stroke-width="2" stroke-dasharray="{}" d="{}"/>').format(
        color, dash, svg_path(placed, x_axis, y_axis)
    )
    dots = [
        Markup('<circle fill="{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(
            color, x_axis.position(x), y_axis.position(y)
        )
        for x, y in placed
    ]
    return Markup("\n").join([line, *dots])


def _draw_axes(x_axis: Axis, y_axis: Axis, y_label: str) -> Markup:
    parts = [
        draw_text("curve-label end", WIDTH - RIGHT, HEIGHT - 6, "kbit/s"),
        draw_text("curve-label", 0, 11, y_label),
    ]
    for value in choose_ticks(y_axis.low, y_axis.high, _Y_TICKS):
        y = y_axis.position(value)
        parts.append(Markup('<path class="curve-grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT))
        parts.append(draw_text("curve-tick end", LEFT - 8, y + 4, f"{value:.6g}"))
    bottom = HEIGHT - BOTTOM
    for power in range(math.floor(x_axis.low), math.ceil(x_axis.high) + 1):
        for step in _RATE_STEPS:
            value = math.log10(step) + power
            if x_axis.low <= value <= x_axis.high:
                x = x_axis.position(value)
                parts.append(Markup('<path class="curve-axis" d="M{:.1f} {}v5"/>').format(x, bottom))
                parts.append(draw_text("curve-tick middle", x, bottom + 19, f"{step * 10.0**power:.6g}"))
    parts.append(Markup('<path class="curve-axis" d="M{} {}H{}"/>').format(LEFT, bottom, WIDTH - RIGHT))
    return Markup("\n").join(parts)
