"""Render what was measured as a page: curves, Bjøntegaard deltas, crossovers in words, one frame side by side."""

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

from data.html.pages import data_uri, render_template
from sr.codec_gain import compare_points
from sr.codec_gain.chart import color_of, draw_curves
from sr.codec_gain.compare_points import MIN_COMPLETE_POINTS, Measured, Members
from sr.codec_gain.encode_point import FULL
from sr.codec_gain.measure_point import ORIGINAL, RESULT
from sr.html import labels

_WINDOW_PX = 256
_WINDOW_STEP_PX = 32
_FIRST_METRIC = "vmaf"
"""Whose crossover decides at which rate frames are shown."""


def render_gain(
    gain: dict[str, Any], by_clip: Mapping[str, Members], timings: Mapping[str, dict[str, float]]
) -> bytes:
    """Return the page, as UTF-8.

    Args:
        gain: the content of codec-gain.json.
        by_clip: the points of each clip.
        timings: seconds by the name of a measurement's directory.
    """
    clips = [
        {
            "name": name,
            "facts": clip,
            "charts": _draw_charts(name, clip),
            "metrics": compare_points.metrics_of(clip),
            "layers": [
                line
                for variant in clip["curves"]
                for line in compare_points.describe_layer(name, clip, variant)
            ],
            "views": _show_windows(clip, by_clip[name]),
            "seconds": _sum_seconds(by_clip[name], timings),
            "few": min(len(points) for points in clip["curves"].values()) < MIN_COMPLETE_POINTS,
        }
        for name, clip in gain["clips"].items()
    ]
    return render_template(
        labels.TEMPLATES / "codec-gain.html.j2",
        gain=gain,
        clips=clips,
        report=compare_points,
        color_of=color_of,
        full=FULL,
        min_points=MIN_COMPLETE_POINTS,
    )


def _draw_charts(name: str, clip: Mapping[str, Any]) -> list[dict[str, Any]]:
    charts = []
    for metric in compare_points.metrics_of(clip):
        label = compare_points.label_of(metric)
        unit = ", dB" if metric.endswith("_db") else ""
        drawing: Markup = draw_curves(
            compare_points.curves_of(clip, metric),
            title=f"{label} of {name} by bitrate",
            y_label=label + unit,
        )
        charts.append({"label": label, "drawing": drawing})
    return charts


def _sum_seconds(members: Members, timings: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return milliseconds a frame of encoding, decoding and upscaling by variant: the mean over all rates."""
    rows: dict[str, dict[str, float]] = {}
    for variant in dict.fromkeys(one.variant for one, _ in members):
        chosen = [(timings[one.directory.name], record) for one, record in members if one.variant == variant]
        frames = sum(record["point"]["frames"] for _, record in chosen)
        rows[variant] = {
            key: 1000 * sum(seconds[key] for seconds, _ in chosen) / frames
            for key in ("encode_s", "decode_s", "upscale_s")
        }
    return rows


def _show_windows(clip: Mapping[str, Any], members: Members) -> dict[str, Any]:
    """Choose a rate and the window where full and half size differ most; return it from all variants."""
    target = _choose_rate(clip)
    nearest: dict[str, tuple[Measured, dict[str, Any]]] = {}
    for one, record in members:
        distance = abs(math.log(record["point"]["kbps"] / target))
        known = nearest.get(one.variant)
        if known is None or distance < abs(math.log(known[1]["point"]["kbps"] / target)):
            nearest[one.variant] = (one, record)
    shown = {name: _load(one, RESULT) for name, (one, _) in nearest.items()}
    original = _load(nearest[FULL][0], ORIGINAL)
    best = max(
        (name for name in nearest if name != FULL), key=lambda name: nearest[name][1]["mean"][_FIRST_METRIC]
    )
    top, left = find_window(original, shown[FULL], shown[best])
    views = [{"label": "original", "image": _cut(original, top, left), "note": ""}]
    for name, (_, record) in nearest.items():
        note = f"{record['point']['kbps']:.4g} kbit/s, VMAF {record['mean'][_FIRST_METRIC]:.1f}"
        views.append({"label": name, "image": _cut(shown[name], top, left), "note": note})
    return {"target_kbps": target, "views": views}


def _choose_rate(clip: Mapping[str, Any]) -> float:
    """Return the highest crossover by VMAF; where there is none, the lowest rate that full size has."""
    found = [
        one["kbps"] for one in clip["crossovers"].get(_FIRST_METRIC, {}).values() if one["kbps"] is not None
    ]
    lowest = min(point["kbps"] for point in clip["curves"][FULL])
    return float(max(found, default=lowest))


def find_window(
    original: npt.NDArray[np.uint8], first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]
) -> tuple[int, int]:
    """Return row and column of the window in which the squared errors of two images differ most."""
    reference = original.astype(np.float64)
    difference = np.sum((first - reference) ** 2 - (second - reference) ** 2, axis=2)
    sums = np.pad(difference, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    height, width = (min(_WINDOW_PX, side) for side in difference.shape)
    rows = range(0, difference.shape[0] - height + 1, _WINDOW_STEP_PX)
    columns = range(0, difference.shape[1] - width + 1, _WINDOW_STEP_PX)

    def weigh(place: tuple[int, int]) -> float:
        y, x = place
        return abs(float(sums[y + height, x + width] - sums[y, x + width] - sums[y + height, x] + sums[y, x]))

    return max(((y, x) for y in rows for x in columns), key=weigh)


def _load(one: Measured, name: str) -> npt.NDArray[np.uint8]:
    with Image.open(one.directory / name) as image:
        return np.asarray(image)


def _cut(image: npt.NDArray[np.uint8], top: int, left: int) -> str:
    """Return the window of an image as a data: URI."""
    content = io.BytesIO()
    Image.fromarray(image[top : top + _WINDOW_PX, left : left + _WINDOW_PX]).save(content, "PNG")
    return data_uri(content.getvalue(), "png")
