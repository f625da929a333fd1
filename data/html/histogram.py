"""Draw histograms as inline SVG, in the style of `line_chart`: the same markup for the same counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from data.html.line_chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, choose_ticks, draw_text

_X_TICKS, _Y_TICKS = 7, 4
_NOTE_STEP = 16
"""Distance between the labels of thresholds, in SVG units."""


@dataclass(frozen=True)
class Threshold:
    """A value to compare with, drawn as a dashed vertical line."""

    label: str
    x: float


def draw_histogram(
    edges: Sequence[float],
    layers: Sequence[Sequence[int]],
    *,
    title: str,
    x_label: str,
    thresholds: Sequence[Threshold] = (),
) -> Markup:
    """Draw stacked bars.

    Args:
        edges: of the bins, ascending, one more than there are bins.
        layers: the counts of the bins, from the lowest layer to the highest; at most two.
        title: read aloud by screen readers.
        x_label: what is measured, with the unit.
        thresholds: with finite values; those outside the edges are drawn at the border.

    Returns:
        An <svg> element of WIDTH x HEIGHT units that scales with its container. All text in it is escaped.
    """
    tallest = max((sum(counts) for counts in zip(*layers, strict=True)), default=0) or 1
    x_axis = Axis(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y_axis = Axis(0, tallest, HEIGHT - BOTTOM, TOP + _NOTE_STEP * len(thresholds))
    parts = [_draw_grid(x_axis, y_axis), draw_text("curve-label end", WIDTH - RIGHT, HEIGHT - 6, x_label)]
    parts += [draw_text("curve-label", 0, 11, "crops")]
    bases = [0] * (len(edges) - 1)
    for layer, counts in enumerate(layers):
        parts.append(_draw_bars(edges, bases, counts, layer, x_axis, y_axis))
        bases = [base + count for base, count in zip(bases, counts, strict=True)]
    parts += [_draw_threshold(one, place, x_axis) for place, one in enumerate(thresholds)]
    frame = Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>')
    return frame.format(WIDTH, HEIGHT, title, Markup("\n").join(parts))


def _draw_grid(x_axis: Axis, y_axis: Axis) -> Markup:
    parts = []
    for value in filter(float.is_integer, choose_ticks(y_axis.low, y_axis.high, _Y_TICKS)):
        y = y_axis.position(value)
        parts.append(Markup('<path class="curve-grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, WIDTH - RIGHT))
        parts.append(draw_text("curve-tick end", LEFT - 8, y + 4, f"{value:,.0f}"))
    for value in choose_ticks(x_axis.low, x_axis.high, _X_TICKS):
        x = x_axis.position(value)
        parts.append(Markup('<path class="curve-axis" d="M{:.1f} {}v5"/>').format(x, HEIGHT - BOTTOM))
        parts.append(draw_text("curve-tick middle", x, HEIGHT - BOTTOM + 19, f"{value:.6g}"))
    parts.append(
        Markup('<path class="curve-axis" d="M{} {}H{}"/>').format(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT)
    )
    return Markup("\n").join(parts)


def _draw_bars(
    edges: Sequence[float],
    bases: Sequence[int],
    counts: Sequence[int],
    layer: int,
    x_axis: Axis,
    y_axis: Axis,
) -> Markup:
    """Draw one layer as a single path."""
    commands = []
    for left, right, base, count in zip(edges, edges[1:], bases, counts, strict=False):
        if count:
            x, width = x_axis.position(left), x_axis.position(right) - x_axis.position(left)
            top, bottom = y_axis.position(base + count), y_axis.position(base)
            commands.append(f"M{x:.1f} {bottom:.1f}V{top:.1f}h{max(width - 1, 0.5):.1f}V{bottom:.1f}z")
    return Markup('<path class="curve-bar{}" d="{}"/>').format(layer, "".join(commands))


def _draw_threshold(one: Threshold, place: int, x_axis: Axis) -> Markup:
    x = x_axis.position(min(max(one.x, x_axis.low), x_axis.high))
    on_the_right = x > (x_axis.start + x_axis.end) / 2
    top = TOP + _NOTE_STEP * place
    line = Markup('<path class="curve-reference" d="M{:.1f} {}V{}"/>').format(x, top - 10, HEIGHT - BOTTOM)
    label = draw_text(
        f"curve-note{' end' if on_the_right else ''}", x - 6 if on_the_right else x + 6, top, one.label
    )
    return Markup("\n").join([line, label])
