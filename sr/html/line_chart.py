"""Line charts as inline SVG: points in, markup out, the same markup for the same points.

Colors, fonts and line widths belong to the page's style sheet (classes `curve-…`), so that a chart follows
light, dark and print; a file of charts brings a plain one along. It knows nothing of training, and reads and
writes no file.
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

WIDTH, HEIGHT = 640, 300
_TOP, _RIGHT, _BOTTOM, _LEFT = 26, 16, 46, 64
_X_TICKS, _Y_TICKS = 7, 5
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_HEADROOM = 0.06
"""Share of the values' range that stays free above and below them."""


@dataclass(frozen=True)
class Reference:
    """A level to compare with, drawn as a dashed line over the whole width."""

    label: str
    y: float


@dataclass(frozen=True)
class Mark:
    """One point that matters, drawn as a dot with its label."""

    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Axis:
    """From values to places on the sheet, linearly."""

    low: float
    high: float
    start: float
    """Where `low` lies, in SVG units."""
    end: float
    """Where `high` lies."""

    def place(self, value: float) -> float:
        """Return where a value lies, in SVG units."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def chart(
    points: Sequence[Point],
    *,
    title: str,
    x_label: str,
    y_label: str,
    references: Sequence[Reference] = (),
    marks: Sequence[Mark] = (),
) -> Markup:
    """Draw one line over a grid.

    Args:
        points: in the order of x, which counts something: it is marked at whole numbers. Where a value is not
            finite the line is interrupted.
        title: what a screen reader says.
        x_label, y_label: what the axes measure, with the unit.
        references, marks: finite ones; they widen the y axis so that they are seen.

    Returns:
        An <svg> element of WIDTH x HEIGHT units that scales with its place. All text in it is escaped.

    Raises:
        ValueError: there is no finite point.
    """
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not finite:
        raise ValueError(f"Expected at least one finite point, got none among {len(points)}.")
    levels = [y for _, y in finite] + [item.y for item in (*references, *marks)]
    span = (max(levels) - min(levels)) or abs(levels[0]) or 1.0
    low, high = min(levels) - _HEADROOM * span, max(levels) + _HEADROOM * span
    x_axis = Axis(*_widened(min(x for x, _ in finite), max(x for x, _ in finite)), _LEFT, WIDTH - _RIGHT)
    y_axis = Axis(low, high, HEIGHT - _BOTTOM, _TOP)
    parts = [_grid(x_axis, y_axis), _labels(x_label, y_label)]
    parts += [_reference(item, y_axis) for item in references]
    parts.append(Markup('<path class="curve-line" d="{}"/>').format(path(points, x_axis, y_axis)))
    if len(finite) == 1:
        parts.append(_dot(x_axis.place(finite[0][0]), y_axis.place(finite[0][1])))
    parts += [_mark(item, x_axis, y_axis) for item in marks]
    frame = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>')
    return frame.format(WIDTH, HEIGHT, title, Markup("\n").join(parts))


def standalone(charts: Sequence[Markup]) -> str:
    """Return an SVG file of charts, one below the other."""
    placed = [
        str(one).replace("<svg ", f'<svg y="{number * HEIGHT}" width="{WIDTH}" height="{HEIGHT}" ', 1)
        for number, one in enumerate(charts)
    ]
    size = f'viewBox="0 0 {WIDTH} {len(placed) * HEIGHT}"'
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{_STYLE}</style>'
    return "\n".join([frame, *placed, "</svg>\n"])


def path(points: Sequence[Point], x_axis: Axis, y_axis: Axis) -> str:
    """Return the `d` of an SVG path through the points; a value that is not finite lifts the pen."""
    commands, down = [], False
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            down = False
            continue
        commands.append(f"{'L' if down else 'M'}{x_axis.place(x):.1f} {y_axis.place(y):.1f}")
        down = True
    return "".join(commands)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round values (1, 2, 2.5 or 5 times a power of ten apart) in a range, at most `most` of them.

    Args:
        low, high: finite, `low` below `high`.
        most: 2 or more.
    """
    least_step = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least_step))
    for factor in _STEPS:
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [round(number * step, 12) for number in range(first, last + 1)]


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low, high) if low < high else (low - 1.0, high + 1.0)


def _grid(x_axis: Axis, y_axis: Axis) -> Markup:
    parts = []
    for value in ticks(y_axis.low, y_axis.high, _Y_TICKS):
        y = y_axis.place(value)
        line = Markup('<path class="curve-grid" d="M{} {:.1f}H{}"/>').format(_LEFT, y, WIDTH - _RIGHT)
        parts += [line, _text("curve-tick end", _LEFT - 8, y + 4, f"{value:.6g}")]
    bottom = HEIGHT - _BOTTOM
    for value in filter(float.is_integer, ticks(x_axis.low, x_axis.high, _X_TICKS)):
        x = x_axis.place(value)
        line = Markup('<path class="curve-axis" d="M{:.1f} {}v5"/>').format(x, bottom)
        parts += [line, _text("curve-tick middle", x, bottom + 19, f"{value:.7g}")]
    parts.append(Markup('<path class="curve-axis" d="M{} {}H{}"/>').format(_LEFT, bottom, WIDTH - _RIGHT))
    return Markup("\n").join(parts)


def _labels(x_label: str, y_label: str) -> Markup:
    return Markup("\n").join(
        [
            _text("curve-label end", WIDTH - _RIGHT, HEIGHT - 6, x_label),
            _text("curve-label", 0, 11, y_label),
        ]
    )


def _reference(item: Reference, y_axis: Axis) -> Markup:
    y = y_axis.place(item.y)
    line = Markup('<path class="curve-reference" d="M{} {:.1f}H{}"/>').format(_LEFT, y, WIDTH - _RIGHT)
    return Markup("\n").join([line, _text("curve-note end", WIDTH - _RIGHT, y - 6, item.label)])


def _mark(item: Mark, x_axis: Axis, y_axis: Axis) -> Markup:
    x, y = x_axis.place(item.x), y_axis.place(item.y)
    on_the_right = x > (_LEFT + WIDTH - _RIGHT) / 2
    text = _text(f"curve-note strong{' end' if on_the_right else ''}", x, y - 11, item.label)
    return Markup("\n").join([_dot(x, y), text])


def _dot(x: float, y: float) -> Markup:
    return Markup('<circle class="curve-dot" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y)


def _text(classes: str, x: float, y: float, content: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(classes, x, y, content)
