"""Draw points over two measured axes as inline SVG, with the best of them joined: the same markup for the same points.

Colors and fonts come from the page's style sheet, as in `data.html.line_chart`. Nothing here reads or writes a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from data.html.line_chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, choose_ticks, draw_text

_X_TICKS, _Y_TICKS = 7, 5
_HEADROOM = 0.08
"""Free space around the points, as a share of their range."""


@dataclass(frozen=True)
class Dot:
    """A point of the chart."""

    label: str
    """Shown when a pointer rests on it; beside it, if it is among the best."""
    x: float
    y: float
    is_best: bool = False


def draw_scatter(dots: Sequence[Dot], *, title: str, x_label: str, y_label: str) -> Markup:
    """Draw points, and steps through those that are the best.

    Args:
        dots: with finite values, at least one.
        title: read aloud by screen readers.
        x_label, y_label: what the axes measure, with the unit.

    Returns:
        An <svg> element that scales with its container. All text in it is escaped.

    Raises:
        ValueError: there is no point.
    """
    if not dots:
        raise ValueError("A chart needs at least one point.")
    x_axis = _axis([dot.x for dot in dots], LEFT, WIDTH - RIGHT)
    y_axis = _axis([dot.y for dot in dots], HEIGHT - BOTTOM, TOP)
    best = sorted((dot for dot in dots if dot.is_best), key=lambda dot: dot.x)
    parts = [_draw_grid(x_axis, y_axis)]
    parts += [draw_text("curve-label end", WIDTH - RIGHT, HEIGHT - 6, x_label)]
    parts += [draw_text("curve-label", 0, 11, y_label)]
    parts += [_draw_steps(best, x_axis, y_axis)] if best else []
    parts += [_draw_dot(dot, x_axis, y_axis) for dot in dots if not dot.is_best]
    parts += [_draw_dot(dot, x_axis, y_axis) for dot in best]
    frame = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>')
    return frame.format(WIDTH, HEIGHT, title, Markup("\n").join(parts))


def _axis(values: list[float], start: float, end: float) -> Axis:
    span = (max(values) - min(values)) or abs(values[0]) or 1.0
    return Axis(min(values) - _HEADROOM * span, max(values) + _HEADROOM * span, start, end)


def _draw_grid(x_axis: Axis, y_axis: Axis) -> Markup:
    parts = []
    for value in choose_ticks(y_axis.low, y_axis.high, _Y_TICKS):
        y = y_axis.position(value)
        parts.append(Markup('<path class="curve-grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT))
        parts.append(draw_text("curve-tick end", LEFT - 8, y + 4, f"{value:.6g}"))
    bottom = HEIGHT - BOTTOM
    for value in choose_ticks(x_axis.low, x_axis.high, _X_TICKS):
        x = x_axis.position(value)
        parts.append(Markup('<path class="curve-axis" d="M{:.1f} {}v5"/>').format(x, bottom))
        parts.append(draw_text("curve-tick middle", x, bottom + 19, f"{value:.6g}"))
    parts.append(Markup('<path class="curve-axis" d="M{} {}H{}"/>').format(LEFT, bottom, WIDTH - RIGHT))
    return Markup("\n").join(parts)


def _draw_steps(best: Sequence[Dot], x_axis: Axis, y_axis: Axis) -> Markup:
    """Draw what the best points reach: level up to the next of them."""
    first, *others = [(x_axis.position(dot.x), y_axis.position(dot.y)) for dot in best]
    path = f"M{first[0]:.1f} {first[1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in others)
    return Markup('<path class="curve-line" d="{}"/>').format(path)


def _draw_dot(dot: Dot, x_axis: Axis, y_axis: Axis) -> Markup:
    x, y = x_axis.position(dot.x), y_axis.position(dot.y)
    circle = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}</title></circle>').format(
        "curve-dot" if dot.is_best else "curve-bar1", x, y, dot.label
    )
    if not dot.is_best:
        return circle
    on_the_right = x > (LEFT + WIDTH - RIGHT) / 2
    return circle + draw_text(f"curve-note strong{' end' if on_the_right else ''}", x, y - 11, dot.label)
