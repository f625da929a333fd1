"""Show a finished profile: tables in Markdown, lines for a terminal, and a bar chart as SVG.

It reads the record speed.json and measures nothing.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from data.html.line_chart import Axis, choose_ticks

REFERENCE = "reference"
_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 760, 190, 150, 18, 26, 30
_COLORS = {REFERENCE: "#8a8f98", "fp32": "#4c78a8", "fp16": "#2e9a8f", "int8": "#d9822b"}
_STYLE = (
    "text{font:13px sans-serif;fill:#222}.soft{fill:#666}.grid{stroke:#ccc}rect.sheet{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#eee}.soft{fill:#aaa}.grid{stroke:#444}rect.sheet{fill:#16181c}}"
)
_TICKS = 5
Row = dict[str, Any]
Rows = list[Row]


def render_markdown(record: dict[str, Any]) -> str:
    """Render a profile as Markdown: for each device a table of speeds, of its peak and of start-up times."""
    host = record["host"]
    parts = [
        f"# {record['model']['name']}, x{record['model']['scale']}\n",
        f"{host['processor']}, {host['cores']} cores, load average {host['load_average']} at the end; "
        f"OpenVINO {record['openvino']}; {record['finished_at']}.\n",
        f"Reference: {record['reference']}. Milliseconds are medians, with the 10th and 90th percentiles behind.\n",
    ]
    for device, facts in record["devices"].items():
        parts.append(f"## {device}: {facts['name']}\n")
        parts.append(_speed_table([row for row in record["rows"] if row["device"] == device]))
        if facts["peak_tops"]:
            parts.append(_peak_table(facts["peak_tops"]))
        parts += [
            f"Convolutions in {name} do not run: {error}.\n" for name, error in facts["peak_errors"].items()
        ]
        startup = [row for row in record["startup"] if row["device"] == device]
        if startup:
            parts.append(_startup_table(startup))
    return "\n".join(parts)


def format_lines(record: dict[str, Any]) -> list[str]:
    """Format a profile as lines for a terminal: one for each device, size and precision."""
    lines = []
    for latency, *throughputs in _group_rows(record["rows"]):
        label = f"{latency['device']} {latency['width']}x{latency['height']} {latency['precision']}"
        if "failed" in latency:
            lines.append(f"{label}: does not run ({latency['failed'][:80]})")
            continue
        speedup = "the baseline" if latency["precision"] == REFERENCE else _format_speedup(latency)
        share = f", {_format_share(latency)} of the device's peak" if _format_share(latency) else ""
        rates = [f"{_format_streams(row)} {row['frames_per_s']:.4g}" for row in throughputs if _has_run(row)]
        fps = f"; frames per second: {', '.join(rates)}" if rates else ""
        lines.append(f"{label}: {latency['median_ms']:.4g} ms ({speedup}){share}{fps}")
    return lines


def render_chart(record: dict[str, Any]) -> str:
    """Render the latencies as a bar chart in SVG: megapixels of output per second, grouped by device and size."""
    rows = [row for row in record["rows"] if row["mode"] == "latency" and _has_run(row)]
    scale = record["model"]["scale"]
    rates = [row["frames_per_s"] * row["height"] * row["width"] * scale**2 / 1e6 for row in rows]
    axis = Axis(0.0, max(rates, default=1.0), _LEFT, _WIDTH - _RIGHT)
    bars, bottom = _draw_groups(rows, rates, axis)
    title = f"{record['model']['name']}: megapixels per second, one request after another"
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" aria-label="{}">'
    elements = [
        Markup(svg).format(_WIDTH, bottom + 30, title),
        Markup("<style>") + Markup(_STYLE) + Markup("</style>"),
        Markup('<rect class="sheet" width="{}" height="{}"/>').format(_WIDTH, bottom + 30),
        _draw_text(8, 18, title),
        *_draw_grid(axis, bottom),
        *bars,
        Markup("</svg>"),
    ]
    return Markup("\n").join(elements) + "\n"


def _group_rows(rows: Rows) -> Iterator[Rows]:
    """Yield the rows of each device, size and precision, latency first."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault((*_device_and_size(row), row["precision"]), []).append(row)
    return iter(groups.values())


def _device_and_size(row: Row) -> tuple[Any, ...]:
    return row["device"], row["height"], row["width"]


def _speed_table(rows: Rows) -> str:
    streams = list(dict.fromkeys(_format_streams(row) for row in rows if row["mode"] == "throughput"))
    columns = ["size", "precision", "computed in", "latency, ms", "speedup", "share of peak"]
    table = [[*columns, *(f"fps, {name}" for name in streams)]]
    for latency, *throughputs in _group_rows(rows):
        rates = {_format_streams(row): f"{row['frames_per_s']:.4g}" for row in throughputs if _has_run(row)}
        table.append(
            [
                f"{latency['width']}x{latency['height']}",
                latency["precision"],
                latency.get("inference_precision") or "",
                _format_latency(latency),
                _format_speedup(latency),
                _format_share(latency),
                *(rates.get(name, "") for name in streams),
            ]
        )
    return _render_table(table)


def _peak_table(peak_tops: dict[str, dict[str, float]]) -> str:
    channels = list(next(iter(peak_tops.values())))
    heads = ["peak in 3x3 convolutions, TOPS", *(f"{number} channels" for number in channels)]
    rows = [[name, *(f"{rates[number]:.3f}" for number in channels)] for name, rates in peak_tops.items()]
    return _render_table([heads, *rows])


def _startup_table(rows: Rows) -> str:
    heads = ["start-up, ms", "first", "from the cache"]
    return _render_table(
        [
            heads,
            *([row["precision"], f"{row['uncached_ms']:.0f}", f"{row['cached_ms']:.0f}"] for row in rows),
        ]
    )


def _render_table(rows: list[list[str]]) -> str:
    text = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([text[0], "|" + "---|" * len(rows[0]), *text[1:]]) + "\n"


def _has_run(row: Row) -> bool:
    return "failed" not in row


def _format_latency(row: Row) -> str:
    if not _has_run(row):
        return "does not run"
    return f"{row['median_ms']:.4g} ({row['p10_ms']:.4g} to {row['p90_ms']:.4g})"


def _format_speedup(row: Row) -> str:
    return f"{row['speedup']:.2f}x" if row.get("speedup") else ""


def _format_share(row: Row) -> str:
    return f"{row['share_of_peak']:.0%}" if row.get("share_of_peak") else ""


def _format_streams(row: Row) -> str:
    if row["streams"] < 0:
        return "streams auto"
    return f"{row['streams']} stream{'s' if row['streams'] > 1 else ''}"


def _draw_groups(rows: Rows, rates: list[float], axis: Axis) -> tuple[list[Markup], int]:
    """Draw a labelled group of bars for each device and size; return them and the y below the last."""
    parts, y = [], _TOP
    for _, group in itertools.groupby(zip(rows, rates, strict=True), lambda pair: _device_and_size(pair[0])):
        bars = list(group)
        row = bars[0][0]
        parts.append(_draw_text(8, y + 14, f"{row['device']} {row['width']}x{row['height']}"))
        for row, rate in bars:
            parts.append(_draw_bar(row, axis.position(rate), y))
            y += _BAR + 4
        y += _GAP - _BAR
    return parts, y


def _draw_bar(row: Row, end: float, y: int) -> Markup:
    bar = Markup('<rect x="{}" y="{}" width="{:.1f}" height="{}" fill="{}"/>').format(
        _LEFT, y, end - _LEFT, _BAR, _COLORS.get(row["precision"], _COLORS["fp32"])
    )
    label = f"{row['median_ms']:.4g} ms  {_format_speedup(row)}"
    precision = _draw_text(_LEFT - 8, y + 14, row["precision"], "soft", "end")
    return bar + precision + _draw_text(end + 6, y + 14, label)


def _draw_grid(axis: Axis, bottom: int) -> Iterator[Markup]:
    for value in choose_ticks(axis.low, axis.high, _TICKS):
        x = axis.position(value)
        yield Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(x, _TOP - 4, bottom)
        yield _draw_text(x, bottom + 18, f"{value:.6g}", "soft", "middle")


def _draw_text(x: float, y: float, content: str, css_class: str = "", anchor: str = "start") -> Markup:
    element = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return element.format(css_class, x, y, anchor, content)
