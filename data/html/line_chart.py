"""Draw line charts as inline SVG: the same markup for the same points.

Colors, fonts and line widths come from the page's style sheet (classes `curve-…`), so that a chart follows light mode,
dark mode and print. A standalone SVG file gets a plain style sheet of its own. Nothing here reads or writes a file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_STYLE = (
    "text{font:11px sans-serif;fill:#666}line,path{stroke:#ccc;fill:none}"
    ".curve-line{stroke:#1f6feb;stroke-width:2}.curve-reference{stroke:#888;stroke-dasharray:5 4}"
    ".end{text-anchor:end}.middle{text-anchor:middle}"
)
Point = tuple[float, float]
"""(x, y), in the units of the axes."""

WIDTH, HEIGHT = 640, 300
TOP, RIGHT, BOTTOM, LEFT = 26, 16, 46, 64
"""Margins, in SVG units."""
_X_TICKS, _Y_TICKS = 7, 5
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_HEADROOM = 0.06
"""Free space above and below the values, as a share of their range."""


@dataclass(frozen=True)
class ReferenceLine:
    """A level to compare with, drawn as a dashed line across the chart."""

    label: str
    y: float


@dataclass(frozen=True)
class Marker:
    """A highlighted point, drawn as a dot with its label."""

    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Axis:
    """A linear scale: values to positions in the drawing."""

    low: float
    high: float
    start: float
    """The position of `low`, in SVG units."""
    end: float
    """The position of `high`."""

    def position(self, value: float) -> float:
        """Return the position of a value, in SVG units."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw_chart(
    points: Sequence[Point],
    *,
    title: str,
    x_label: str,
    y_label: str,
    references: Sequence[ReferenceLine] = (),
    markers: Sequence[Marker] = (),
) -> Markup:
    """Draw one line over a grid.

    Args:
        points: in ascending order of x, which counts something: its ticks are whole numbers. The line is interrupted
            where a value is not finite.
        title: read aloud by screen readers.
        x_label, y_label: what the axes measure, with the unit.
        references, markers: with finite values; the y axis is widened to include them.

    Returns:
        An <svg> element of WIDTH x HEIGHT units that scales with its container. All text in it is escaped.

    Raises:
        ValueError: there is no finite point.
    """
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not finite:
        raise ValueError(f"A chart needs at least one finite point; there is none among {len(points)}.")
    levels = [y for _, y in finite] + [item.y for item in references] + [item.y for item in markers]
    span = (max(levels) - min(levels)) or abs(levels[0]) or 1.0
    low, high = min(levels) - _HEADROOM * span, max(levels) + _HEADROOM * span
    x_axis = Axis(*_widen_point(min(x for x, _ in finite), max(x for x, _ in finite)), LEFT, WIDTH - RIGHT)
    y_axis = Axis(low, high, HEIGHT - BOTTOM, TOP)
    parts = [_draw_grid(x_axis, y_axis), _draw_labels(x_label, y_label)]
    parts += [_draw_reference(item, y_axis) for item in references]
    parts.append(Markup('<path class="curve-line" d="{}"/>').format(svg_path(points, x_axis, y_axis)))
    if len(finite) == 1:
        parts.append(_draw_dot(x_axis.position(finite[0][0]), y_axis.position(finite[0][1])))
    parts += [_draw_marker(item, x_axis, y_axis) for item in markers]
    frame = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>')
    return frame.format(WIDTH, HEIGHT, title, Markup("\n").join(parts))


def stack_charts(charts: Sequence[Markup]) -> str:
    """Stack charts in one SVG file, one below the other."""
    placed = [
        str(one).replace("<svg ", f'<svg y="{number * HEIGHT}" width="{WIDTH}" height="{HEIGHT}" ', 1)
        for number, one in enumerate(charts)
    ]
    size = f'viewBox="0 0 {WIDTH} {len(placed) * HEIGHT}"'
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{_STYLE}</style>'
    return "\n".join([frame, *placed, "</svg>\n"])


def svg_path(points: Sequence[Point], x_axis: Axis, y_axis: Axis) -> str:
    """Return the `d` attribute of an SVG path through the points, interrupted where a value is not finite."""
    commands, down = [], False
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            down = False
            continue
        commands.append(f"{'L' if down else 'M'}{x_axis.position(x):.1f} {y_axis.position(y):.1f}")
        down = True
    return "".join(commands)


def choose_ticks(low: float, high: float, max_count: int) -> list[float]:
    """Choose round values in a range (1, 2, 2.5 or 5 times a power of ten apart).

    Args:
        low, high: finite, `low` below `high`.
        max_count: the largest number of ticks, 2 or more.
    """
    least_step = (high - low) / max_count
    power = 10.0 ** math.floor(math.log10(least_step))
    for factor in _STEPS:
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < max_count:
            break
    return [round(number * step, 12) for number in range(first, last + 1)]


def draw_text(classes: str, x: float, y: float, content: str) -> Markup:
    """Draw text at a position, with the classes of its style."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(classes, x, y, content)


def _widen_point(low: float, high: float) -> tuple[float, float]:
    """Return a range of some width, also for a single value."""
    return (low, high) if low < high else (low - 1.0, high + 1.0)


def _draw_grid(x_axis: Axis, y_axis: Axis) -> Markup:
    parts = []
    for value in choose_ticks(y_axis.low, y_axis.high, _Y_TICKS):
        y = y_axis.position(value)
        line = Markup('<path class="curve-grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT)
        parts += [line, draw_text("curve-tick end", LEFT - 8, y + 4, f"{value:.6g}")]
    bottom = HEIGHT - BOTTOM
    for value in filter(float.is_integer, choose_ticks(x_axis.low, x_axis.high, _X_TICKS)):
        x = x_axis.position(value)
        line = Markup('<path class="curve-axis" d="M{:.1f} {}v5"/>').format(x, bottom)
        parts += [line, draw_text("curve-tick middle", x, bottom + 19, f"{value:.7g}")]
    parts.append(Markup('<path class="curve-axis" d="M{} {}H{}"/>').format(LEFT, bottom, WIDTH - RIGHT))
    return Markup("\n").join(parts)


def _draw_labels(x_label: str, y_label: str) -> Markup:
    return Markup("\n").join(
        [
            draw_text("curve-label end", WIDTH - RIGHT, HEIGHT - 6, x_label),
            draw_text("curve-label", 0, 11, y_label),
        ]
    )


def _draw_reference(item: ReferenceLine, y_axis: Axis) -> Markup:
    y = y_axis.position(item.y)
    line = Markup('<path class="curve-reference" d="M{} {:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT)
    return Markup("\n").join([line, draw_text("curve-note end", WIDTH - RIGHT, y - 6, item.label)])


def _draw_marker(item: Marker, x_axis: Axis, y_axis: Axis) -> Markup:
    x, y = x_axis.position(item.x), y_axis.position(item.y)
    on_the_right = x > (LEFT + WIDTH - RIGHT) / 2
    text = draw_text(f"curve-note strong{' end' if on_the_right else ''}", x, y - 11, item.label)
    return Markup("\n").join([_draw_dot(x, y), text])


def _draw_dot(x: float, y: float) -> Markup:
    return Markup('<circle class="curve-dot" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y)
