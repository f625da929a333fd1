"""A finished benchmark for people: a table in Markdown, lines for a terminal, and a chart as an SVG file.

It reads the record and nothing else; it measures nothing.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from sr.html.line_chart import Axis, ticks

REFERENCE = "reference"
_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 760, 190, 150, 18, 26, 30
_COLORS = {REFERENCE: "#8a8f98", "fp32": "#4c78a8", "fp16": "#2e9a8f", "int8": "#d9822b"}
_STYLE = (
    "text{font:13px sans-serif;fill:#222}.soft{fill:#666}.grid{stroke:#ccc}rect.sheet{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#eee}.soft{fill:#aaa}.grid{stroke:#444}rect.sheet{fill:#16181c}}"
)
_TICKS = 5
Rows = list[dict[str, Any]]


def markdown(record: dict[str, Any]) -> str:
    """The tables: for each device one of its rows, and one of its limits."""
    host = record["host"]
    parts = [
        f"# {record['model']['name']}, x{record['model']['scale']}\n",
        f"{host['processor']}, {host['cores']} cores, load {host['load_average']} at the end; "
        f"OpenVINO {record['openvino']}; {record['finished_at']}.\n",
        f"Reference: {record['reference']}. Milliseconds are medians, the 10th and 90th percentiles behind them.\n",
    ]
    for device, facts in record["devices"].items():
        parts.append(f"## {device}: {facts['name']}\n")
        parts.append(_speed_table([row for row in record["rows"] if row["device"] == device]))
        if facts["peak_tops"]:
            parts.append(_peak_table(facts["peak_tops"]))
        parts += [
            f"Convolutions in {name} do not run: {why}.\n" for name, why in facts["peak_failed"].items()
        ]
        starts = [row for row in record["starts"] if row["device"] == device]
        if starts:
            parts.append(_start_table(starts))
    return "\n".join(parts)


def lines(record: dict[str, Any]) -> list[str]:
    """A line for each device, size and form."""
    told = []
    for rows in _cells(record["rows"]):
        latency, *streams = rows
        place = f"{latency['device']} {latency['width']}x{latency['height']} {latency['form']}"
        if "failed" in latency:
            told.append(f"{place}: does not run ({latency['failed'][:80]})")
            continue
        beside = _times(latency) if latency["form"] != REFERENCE else "the plain way"
        rates = [f"{_streams(row)} {row['frames_per_s']:.4g}" for row in streams if "failed" not in row]
        fps = f"; frames a second: {', '.join(rates)}" if rates else ""
        share = f", {_share(latency)} of the device's peak" if _share(latency) else ""
        told.append(f"{place}: {latency['median_ms']:.4g} ms ({beside}){share}{fps}")
    return told


def plot(record: dict[str, Any]) -> str:
    """Bars: megapixels of the result a second, one request after another; a group for each device and size."""
    rows = [row for row in record["rows"] if row["mode"] == "latency" and "failed" not in row]
    scale = record["model"]["scale"]
    rates = [row["frames_per_s"] * row["height"] * row["width"] * scale**2 / 1e6 for row in rows]
    axis = Axis(0.0, max(rates, default=1.0), _LEFT, _WIDTH - _RIGHT)
    parts, y = [], _TOP
    for _, group in itertools.groupby(zip(rows, rates, strict=True), lambda pair: _place(pair[0])):
        pairs = list(group)
        parts.append(
            _text(8, y + 14, f"{pairs[0][0]['device']} {pairs[0][0]['width']}x{pairs[0][0]['height']}")
        )
        for row, rate in pairs:
            parts.append(_bar(row, axis.place(rate), y))
            y += _BAR + 4
        y += _GAP - _BAR
    title = f"{record['model']['name']}: megapixels a second, one request after another"
    whole = [
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        ).format(_WIDTH, y + 30, title),
        Markup("<style>") + Markup(_STYLE) + Markup("</style>"),
        Markup('<rect class="sheet" width="{}" height="{}"/>').format(_WIDTH, y + 30),
        _text(8, 18, title),
        *_grid(axis, y),
        *parts,
        Markup("</svg>"),
    ]
    return Markup("\n").join(whole) + "\n"


def _cells(rows: Rows) -> Iterator[Rows]:
    """The rows of one device, size and form, latency first."""
    cells: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        cells.setdefault((*_place(row), row["form"]), []).append(row)
    return iter(cells.values())


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["device"], row["height"], row["width"]


def _speed_table(rows: Rows) -> str:
    heads = list(dict.fromkeys(_streams(row) for row in rows if row["mode"] == "throughput"))
    columns = ["size", "form", "computes in", "ms", "times the reference", "share of the peak"]
    table = [[*columns, *(f"fps, {head}" for head in heads)]]
    for latency, *others in _cells(rows):
        rates = {_streams(row): row for row in others}
        table.append(
            [
                f"{latency['width']}x{latency['height']}",
                latency["form"],
                latency.get("computes_in") or "",
                _milliseconds(latency),
                _times(latency),
                _share(latency),
                *(f"{rates[head]['frames_per_s']:.4g}" if _ran(rates.get(head)) else "" for head in heads),
            ]
        )
    return _table(table)


def _peak_table(peak: dict[str, dict[str, float]]) -> str:
    channels = list(next(iter(peak.values())))
    heads = ["3x3 convolutions, TOPS", *(f"{one} channels" for one in channels)]
    return _table(
        [heads, *([name, *(f"{rates[one]:.3f}" for one in channels)] for name, rates in peak.items())]
    )


def _start_table(starts: Rows) -> str:
    heads = ["start, ms", "first", "again, compiled before"]
    return _table(
        [heads, *([row["form"], f"{row['first_ms']:.0f}", f"{row['second_ms']:.0f}"] for row in starts)]
    )


def _table(rows: list[list[str]]) -> str:
    text = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([text[0], "|" + "---|" * len(rows[0]), *text[1:]]) + "\n"


def _milliseconds(row: dict[str, Any]) -> str:
    if "failed" in row:
        return "does not run"
    return f"{row['median_ms']:.4g} ({row['p10_ms']:.4g} to {row['p90_ms']:.4g})"


def _times(row: dict[str, Any]) -> str:
    return f"{row['times_reference']:.2f}x" if row.get("times_reference") else ""


def _share(row: dict[str, Any]) -> str:
    return f"{row['share_of_peak']:.0%}" if row.get("share_of_peak") else ""


def _streams(row: dict[str, Any]) -> str:
    if row["streams"] < 0:
        return "the device's choice"
    return f"{row['streams']} stream{'s' if row['streams'] > 1 else ''}"


def _ran(row: dict[str, Any] | None) -> bool:
    return row is not None and "failed" not in row


def _bar(row: dict[str, Any], end: float, y: int) -> Markup:
    bar = Markup('<rect x="{}" y="{}" width="{:.1f}" height="{}" fill="{}"/>').format(
        _LEFT, y, end - _LEFT, _BAR, _COLORS.get(row["form"], _COLORS["fp32"])
    )
    label = f"{row['median_ms']:.4g} ms  {_times(row)}"
    return bar + _text(_LEFT - 8, y + 14, row["form"], "soft", "end") + _text(end + 6, y + 14, label)


def _grid(axis: Axis, bottom: int) -> Iterator[Markup]:
    for value in ticks(axis.low, axis.high, _TICKS):
        x = axis.place(value)
        yield Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(x, _TOP - 4, bottom)
        yield _text(x, bottom + 18, f"{value:.6g}", "soft", "middle")


def _text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> Markup:
    form = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return form.format(kind, x, y, anchor, content)
