"""Judging an upscaler: one protocol, any upscaler, every picture, always beside bicubic and Lanczos.

Holds one picture in memory at a time. Never trains, never loads a model, never fetches a benchmark: it is
handed them.
"""

import csv
import dataclasses
import io
import statistics
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from data.files import write_bytes, write_json
from data.plain import to_plain
from data.progress import Progress, silent
from data.records import EvalProtocol
from sr.evaluation import metrics
from sr.evaluation.degrade import DEGRADATIONS, degrade
from sr.evaluation.pictures import side_by_side
from sr.evaluation.timing import host_facts, spread_ms, time_frame
from sr.upscalers import FORMULAS, PillowUpscaler, Upscaler

SCHEMA = 1
PSNR_CAP_DB = 100.0
"""Equal pictures have an infinite PSNR, which neither JSON nor a mean can hold: a report says 100 dB at
most."""
SUPPLIED = "supplied"
"""The degradation of a benchmark that brings its own low pictures."""
DIGITS = 4

Picture = tuple[str, np.ndarray] | tuple[str, np.ndarray, np.ndarray]
"""(name, high) or (name, high, low); pixels uint8, HWC RGB or HW grey."""
Scores = dict[str, float]
"""psnr_db, ssim."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """One picture's figures; not rounded."""

    name: str
    height: int
    """Of the high picture after cropping to the scale, in pixels."""
    width: int
    supplied: bool
    """Whether the benchmark brought the low picture."""
    scores: dict[str, Scores]
    """By upscaler: ours, bicubic, lanczos."""
    seconds: float
    """That our upscaler took."""


def evaluate(
    upscaler: Upscaler,
    pictures: Iterable[Picture],
    protocol: EvalProtocol,
    out_dir: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Judge `upscaler` on `pictures` and write report.json (last), per_image.csv, pictures/ and
    run/timing.json.

    High pictures are cut at the bottom and right to a multiple of the scale. Where a picture brings no low
    one, it is made by the protocol's degradation. Grey pictures count as RGB with three equal channels. The
    same pictures and model give the same report; durations stand apart, in run/timing.json.

    Args:
        upscaler: of the protocol's scale.
        pictures: read one by one; names are unique.
        out_dir: made if missing.

    Returns:
        What report.json holds: schema, model, protocol, images, mean, baselines, per_image.

    Raises:
        UserError: no pictures, a picture too small for the protocol or of a wrong size, names that repeat,
        low
            pictures for some only, or an upscaler of another scale.
    """
    _check(upscaler, protocol)
    total = len(pictures) if isinstance(pictures, Sized) else 0
    judged: list[Judged] = []
    for name, high, low in _named_once(pictures):
        judged.append(_judge(upscaler, name, high, low, protocol, out_dir))
        progress(len(judged), total, f"{name} {judged[-1].scores['ours']['psnr_db']:.2f} dB")
    report = _report(upscaler, judged, protocol)
    write_bytes(out_dir / "per_image.csv", _csv(report["per_image"]))
    write_json(out_dir / "run" / "timing.json", _timing(upscaler, judged))
    write_json(out_dir / "report.json", report)
    return report


def compare(high: np.ndarray, ours: np.ndarray, protocol: EvalProtocol) -> Scores:
    """PSNR (dB, infinite for equal pictures) and SSIM of two uint8 HWC RGB pictures of one shape, by the
    protocol.
    """
    first, second = (metrics.crop_border(picture, protocol.border_px) for picture in (high, ours))
    if protocol.channel == "y":
        first, second = metrics.luma(first), metrics.luma(second)
    data_range = float(protocol.data_range)
    return {
        "psnr_db": metrics.psnr(first, second, data_range),
        "ssim": metrics.ssim(first, second, data_range),
    }


def protocol_name(protocol: EvalProtocol, supplied: bool) -> str:
    """The name that a report gives a protocol: y-x2-border2-pillow-bicubic, or …-supplied for a benchmark's
    low ones.
    """
    degradation = SUPPLIED if supplied else protocol.degradation
    return f"{protocol.channel}-x{protocol.scale}-border{protocol.border_px}-{degradation}"


def _check(upscaler: Upscaler, protocol: EvalProtocol) -> None:
    place = "the evaluation protocol"
    if protocol.channel not in ("rgb", "y"):
        raise UserError("the channel rgb or y", repr(protocol.channel), place, "name one of these")
    if protocol.degradation not in (*DEGRADATIONS, SUPPLIED):
        names = ", ".join((*DEGRADATIONS, SUPPLIED))
        raise UserError(
            f"a degradation out of {names}", repr(protocol.degradation), place, "name one of these"
        )
    if upscaler.scale != protocol.scale:
        remedy = f"evaluate it at scale {upscaler.scale}, or another model"
        raise UserError(
            f"a model of scale {protocol.scale}", f"scale {upscaler.scale}", upscaler.name, remedy
        )


def _named_once(pictures: Iterable[Picture]) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    seen: set[str] = set()
    for name, high, *rest in pictures:
        if _file_name(name) in seen:
            raise UserError(
                "a name for each picture", f"{name!r} twice", "the benchmark", "rename one of the two"
            )
        seen.add(_file_name(name))
        yield name, _as_rgb(high), _as_rgb(rest[0]) if rest else None


def _as_rgb(picture: np.ndarray) -> np.ndarray:
    return np.stack([picture] * 3, axis=2) if picture.ndim == 2 else picture


def _file_name(name: str) -> str:
    return name.replace("/", "_")


def _judge(
    upscaler: Upscaler,
    name: str,
    high: np.ndarray,
    low: np.ndarray | None,
    protocol: EvalProtocol,
    out_dir: Path,
) -> Judged:
    supplied = low is not None
    high, low = _pair(name, high, low, protocol)
    start = time.perf_counter()
    ours = upscaler(low)
    seconds = time.perf_counter() - start
    made = {"ours": ours} | {formula: PillowUpscaler(formula, protocol.scale)(low) for formula in FORMULAS}
    scores = {kind: compare(high, picture, protocol) for kind, picture in made.items()}
    labels = [
        "original",
        *(f"{kind} {scores[kind]['psnr_db']:.2f} dB" for kind in ("ours", "bicubic")),
        "low, enlarged",
    ]
    sheet = side_by_side(high, ours, made["bicubic"], low, labels)
    write_bytes(out_dir / "pictures" / f"{_file_name(name)}.png", sheet)
    return Judged(name, high.shape[0], high.shape[1], supplied, scores, seconds)


def _pair(
    name: str, high: np.ndarray, low: np.ndarray | None, protocol: EvalProtocol
) -> tuple[np.ndarray, np.ndarray]:
    """The high picture cut to the scale, and its low one; refuses what the metrics could not measure."""
    scale = protocol.scale
    height, width = (size - size % scale for size in high.shape[:2])
    least = 2 * protocol.border_px + metrics.SSIM_WINDOW_PX
    if min(height, width) < least:
        size = f"{high.shape[0]}x{high.shape[1]} px"
        raise UserError(f"at least {least}x{least} px", size, name, "take the picture out of the benchmark")
    high = np.ascontiguousarray(high[:height, :width])
    if low is None:
        if protocol.degradation == SUPPLIED:
            raise UserError("a low picture", "none", name, "add it, or name a degradation that makes it")
        return high, degrade(high, scale, protocol.degradation)
    if (low.shape[0] * scale, low.shape[1] * scale) != (height, width):
        wanted, got = (f"{size[0]}x{size[1]} px" for size in ((height // scale, width // scale), low.shape))
        raise UserError(
            f"a low picture of {wanted}", got, name, "supply the one that belongs to the high picture"
        )
    return high, low


def _report(upscaler: Upscaler, judged: list[Judged], protocol: EvalProtocol) -> dict[str, Any]:
    if len({item.supplied for item in judged}) != 1:
        got = "for some only" if judged else "no pictures"
        raise UserError("low pictures for all or for none", got, "the benchmark", "complete it")
    supplied = judged[0].supplied
    plain = to_plain(protocol) | ({"degradation": SUPPLIED} if supplied else {})
    return {
        "schema": SCHEMA,
        "model": {"name": upscaler.name, "scale": upscaler.scale, "sha256": upscaler.sha256},
        "protocol": {"name": protocol_name(protocol, supplied), "psnr_cap_db": PSNR_CAP_DB, **plain},
        "images": len(judged),
        "mean": _mean(judged, "ours"),
        "baselines": {formula: _mean(judged, formula) for formula in FORMULAS},
        "per_image": [_row(item) for item in judged],
    }


def _capped(scores: Scores) -> Scores:
    return scores | {"psnr_db": min(scores["psnr_db"], PSNR_CAP_DB)}


def _mean(judged: list[Judged], kind: str) -> Scores:
    capped = [_capped(item.scores[kind]) for item in judged]
    return {
        key: round(statistics.fmean(scores[key] for scores in capped), DIGITS) for key in ("psnr_db", "ssim")
    }


def _row(item: Judged) -> dict[str, Any]:
    rounded = {kind: {k: round(v, DIGITS) for k, v in _capped(s).items()} for kind, s in item.scores.items()}
    baselines = {formula: rounded[formula] for formula in FORMULAS}
    return {"name": item.name, "height": item.height, "width": item.width, **rounded["ours"], **baselines}


def _csv(rows: list[dict[str, Any]]) -> bytes:
    """The rows of per_image as CSV, with the baselines' figures in columns of their own (bicubic_psnr_db
    …).
    """
    flat = []
    for row in rows:
        columns = {key: value for key, value in row.items() if not isinstance(value, dict)}
        for formula in FORMULAS:
            columns |= {f"{formula}_{key}": value for key, value in row[formula].items()}
        flat.append(columns)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode()


def _timing(upscaler: Upscaler, judged: list[Judged]) -> dict[str, Any]:
    """Durations and the machine they were taken on; outside every hash. The first picture may include warming
    up.
    """
    per_megapixel = [item.seconds / (item.height * item.width / 1e6) for item in judged]
    return {
        "model": upscaler.name,
        "frame": time_frame(upscaler),
        "picture": spread_ms([item.seconds for item in judged]),
        "output_megapixel": spread_ms(per_megapixel),
        "host": host_facts(),
    }
