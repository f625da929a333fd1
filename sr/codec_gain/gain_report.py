"""Write what was measured of clips as files: codec-gain.json, codec-gain.csv and codec-gain.html."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.atomic_files import read_json, write_bytes, write_json
from sr.codec_gain.compare_points import Measured, Members, compare_points, read_points
from sr.codec_gain.encode_point import TIMING
from sr.codec_gain.gain_page import render_gain
from sr.codec_gain.video_metrics import METRICS
from sr.evaluation.tables import to_csv

RECORD, TABLE, PAGE = "codec-gain.json", "codec-gain.csv", "codec-gain.html"


def write_gain(
    points: Sequence[Measured],
    settings: Mapping[str, Any],
    cuts: Mapping[str, tuple[int, int]],
    out_dir: Path,
) -> dict[str, Any]:
    """Write codec-gain.csv, codec-gain.html and, last, codec-gain.json, which no clock has a part in.

    Args:
        points: of all clips; each clip has the variant "full".
        settings: codec, preset, crfs, half_crfs.
        cuts: rows and columns that were cut off each clip.
        out_dir: of the store.

    Returns:
        What codec-gain.json holds, see `compare_points`.
    """
    by_clip = read_points(points)
    gain = compare_points(by_clip, settings, cuts)
    timings = {one.directory.name: _read_seconds(one) for one in points}
    write_bytes(out_dir / TABLE, to_csv(_flatten(by_clip, timings)))
    write_bytes(out_dir / PAGE, render_gain(gain, by_clip, timings))
    write_json(out_dir / RECORD, gain)
    return gain


def _read_seconds(one: Measured) -> dict[str, float]:
    """Return the seconds of encoding, decoding and upscaling."""
    found: dict[str, float] = read_json(one.encoded / TIMING) | read_json(one.directory / TIMING)
    return found


def _flatten(by_clip: Mapping[str, Members], timings: Mapping[str, dict[str, float]]) -> list[dict[str, Any]]:
    rows = []
    for name, members in by_clip.items():
        for one, record in members:
            point = record["point"]
            row = {"clip": name, "variant": one.variant, "codec": point["codec"], "preset": point["preset"]}
            row |= {key: point[key] for key in ("crf", "width", "height", "frames", "bytes", "kbps")}
            row["layer_bytes"] = point.get("layer", {}).get("bytes", 0)
            row |= {metric: record["mean"].get(metric) for metric in METRICS}
            seconds = timings[one.directory.name]
            rows.append(row | {key: round(seconds[key], 3) for key in ("encode_s", "decode_s", "upscale_s")})
    return rows
