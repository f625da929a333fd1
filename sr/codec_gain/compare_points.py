"""Compare what was measured of each clip: curves, Bjøntegaard deltas, crossovers, and all of it in words."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import read_json
from sr.codec_gain.curves import Crossover, Points, compute_delta, find_crossover, find_hull
from sr.codec_gain.encode_point import FULL
from sr.codec_gain.measure_point import RECORD as MEASURED
from sr.codec_gain.video_metrics import LPIPS, METRICS

SCHEMA = 1
MIN_COMPLETE_POINTS = 6
"""Fewer rates make BD-rate unreliable."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One point that was measured: a clip, a way to send it, a constant rate factor."""

    clip: str
    variant: str
    """full, or half and what upscales it: "half + bicubic"."""
    directory: Path
    """Of the measurement: measured.json, frame.png."""
    encoded: Path
    """Of the encoded clip: stream.mkv, run/timing.json."""


Members = Sequence[tuple[Measured, dict[str, Any]]]
"""Points of one clip, each with the content of its measured.json."""


def read_points(points: Sequence[Measured]) -> dict[str, list[tuple[Measured, dict[str, Any]]]]:
    """Return the points of each clip, each with the content of its measured.json."""
    by_clip: dict[str, list[tuple[Measured, dict[str, Any]]]] = {}
    for one in points:
        by_clip.setdefault(one.clip, []).append((one, read_json(one.directory / MEASURED)))
    return by_clip


def compare_points(
    by_clip: Mapping[str, Members], settings: Mapping[str, Any], cuts: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """Return what codec-gain.json holds.

    Args:
        by_clip: the points of each clip; each has the variant "full".
        settings: codec, preset, crfs, half_crfs.
        cuts: rows and columns that were cut off each clip.

    Returns:
        schema, settings, clips by name (frames, width, height, duration_s, cut_px, curves: by variant its points;
        deltas: by metric, for each pair of variants BD-rate and BD-metric; crossovers: by metric and variant; hull: by
        metric), mean_bd_rate_percent (by metric and variant, over all clips), verdicts.
    """
    clips = {name: _compare_clip(members, cuts[name]) for name, members in by_clip.items()}
    named = (one.variant for members in by_clip.values() for one, _ in members)
    variants = [name for name in dict.fromkeys(named) if name != FULL]
    return {
        "schema": SCHEMA,
        "settings": dict(settings),
        "clips": clips,
        "mean_bd_rate_percent": _average(clips, variants),
        "verdicts": [line for name, clip in clips.items() for line in _describe_clip(name, clip, variants)],
    }


def curves_of(clip: Mapping[str, Any], metric: str) -> dict[str, Points]:
    """Return the curve of each variant of a clip that has a metric."""
    return {
        variant: [(point["kbps"], point["mean"][metric]) for point in points]
        for variant, points in clip["curves"].items()
        if all(metric in point["mean"] for point in points)
    }


def metrics_of(clip: Mapping[str, Any]) -> list[str]:
    """Return the metrics that all points of a clip have."""
    means = [point["mean"] for points in clip["curves"].values() for point in points]
    return [metric for metric in METRICS if all(metric in mean for mean in means)]


def _compare_clip(members: Members, cut_px: tuple[int, int]) -> dict[str, Any]:
    curves: dict[str, list[dict[str, Any]]] = {}
    for one, record in members:
        point = record["point"]
        row = {"crf": point["crf"], "kbps": point["kbps"], "bytes": point["bytes"], "mean": record["mean"]}
        if "layer" in point:
            row["layer"] = point["layer"]
        curves.setdefault(one.variant, []).append(row)
    full = next(record["point"] for one, record in members if one.variant == FULL)
    clip = {
        "frames": full["frames"],
        "width": full["width"],
        "height": full["height"],
        "duration_s": full["duration_s"],
        "cut_px": list(cut_px),
        "curves": {name: sorted(rows, key=lambda row: row["kbps"]) for name, rows in curves.items()},
    }
    deltas: dict[str, Any] = {}
    crossovers: dict[str, Any] = {}
    hulls: dict[str, Any] = {}
    for metric in metrics_of(clip):
        lines = curves_of(clip, metric)
        deltas[metric] = [
            {"reference": first, "other": second}
            | dataclasses.asdict(compute_delta(lines[first], lines[second]))
            for first, second in itertools.combinations(lines, 2)
        ]
        crossovers[metric] = {
            name: dataclasses.asdict(find_crossover(lines[FULL], line))
            for name, line in lines.items()
            if name != FULL
        }
        hulls[metric] = [
            {"kbps": rate, "quality": level, "variant": name} for rate, level, name in find_hull(lines)
        ]
    return clip | {"deltas": deltas, "crossovers": crossovers, "hull": hulls}


def _average(clips: Mapping[str, Any], variants: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return the mean BD-rate of each variant against full size; None where a clip has none."""
    means: dict[str, dict[str, float | None]] = {}
    for metric in METRICS:
        if not any(metric in clip["deltas"] for clip in clips.values()):
            continue
        rows: dict[str, float | None] = {}
        for variant in variants:
            found = [bd_rate(clip, metric, variant) for clip in clips.values()]
            known = [one for one in found if one is not None]
            rows[variant] = statistics.fmean(known) if known and len(known) == len(found) else None
        means[metric] = rows
    return means


def bd_rate(clip: Mapping[str, Any], metric: str, variant: str, reference: str = FULL) -> float | None:
    """Return the BD-rate of a variant against full size or another one, in percent; None where there is none."""
    for one in clip["deltas"].get(metric, ()):
        if (one["reference"], one["other"]) == (reference, variant):
            found: float | None = one["rate_percent"]
            return found
    return None


def _describe_clip(name: str, clip: Mapping[str, Any], variants: Sequence[str]) -> list[str]:
    lines = [line for variant in variants for line in describe_layer(name, clip, variant)]
    for metric in metrics_of(clip):
        for variant, found in clip["crossovers"][metric].items():
            if variant in variants:
                verdict = describe_crossover(Crossover(**found))
                lines.append(f"{name}, {label_of(metric)}, {variant}: {verdict}.")
    return lines


def describe_layer(name: str, clip: Mapping[str, Any], variant: str) -> list[str]:
    """Return what the enhancement layer of a variant costs and brings, by each metric; nothing if it has none."""
    points = clip["curves"].get(variant, [])
    if not points or "layer" not in points[0]:
        return []
    share = sum(point["layer"]["bytes"] for point in points) / sum(point["bytes"] for point in points)
    bare = variant.rpartition(" + ")[0]
    lines = []
    for metric in metrics_of(clip):
        rate = bd_rate(clip, metric, variant, bare)
        gain = "BD-rate unknown" if rate is None else f"BD-rate {rate:+.1f} %"
        verdict = "" if rate is None else ", it pays" if rate < 0 else ", it does not pay"
        lines.append(
            f"{name}, {label_of(metric)}, {variant}: the layer takes {share:.0%} of the bits; against {bare}"
            f" {gain}{verdict}."
        )
    return lines


def describe_crossover(found: Crossover) -> str:
    """Return in words at which rates half size is better."""
    words = {
        "always": "half size is better at every rate that both have",
        "never": "full size is better at every rate that both have",
        "unknown": f"not known: {found.note}",
    }
    if found.kbps is None:
        return words[found.verdict]
    where = f"half size is better {found.verdict} {_round(found.kbps)} kbit/s"
    if found.low_kbps is None or found.high_kbps is None or found.low_kbps == found.high_kbps:
        return where
    return f"{where} (between {_round(found.low_kbps)} and {_round(found.high_kbps)})"


def label_of(metric: str) -> str:
    """Return what a page calls a metric."""
    return {
        "psnr_y_db": "PSNR Y",
        "psnr_yuv_db": "PSNR YUV 6:1:1",
        "ssim_y": "SSIM Y",
        "ms_ssim_y": "MS-SSIM Y",
        "xpsnr_y_db": "XPSNR Y",
        "vmaf": "VMAF",
        "vmaf_neg": "VMAF-NEG",
        LPIPS: "1 − LPIPS",
    }[metric]


def _round(kbps: float) -> str:
    """Return a rate with three digits."""
    digits = max(0, 2 - math.floor(math.log10(kbps)))
    return f"{kbps:.{digits}f}"
