"""Judging an upscaler: one protocol, any upscaler, every image, always beside bicubic and Lanczos.

Holds one image in memory at a time. Never trains, never loads a model, never fetches a benchmark: it is
handed them.
"""

import dataclasses
import statistics
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

import numpy as np

from data.atomic_files import write_bytes, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.record_json import to_plain
from data.records import EvalProtocol
from sr.evaluation import cost, metrics
from sr.evaluation.evaluation_page import write_page
from sr.evaluation.image_pair import Pair, Scores, formula, make_pair, score, upscale
from sr.evaluation.lpips import LEAST_PX, Lpips
from sr.evaluation.protocols import SUPPLIED, check, title
from sr.evaluation.side_by_side import sheet_name, side_by_side
from sr.evaluation.tables import SCHEMA, csv_of
from sr.evaluation.timing import host_facts, spread_ms, time_frame
from sr.runtime.upscalers import FORMULAS, Upscaler

PSNR_CAP_DB = 100.0
"""Equal images have an infinite PSNR, which neither JSON nor a mean can hold: a report says 100 dB at
most."""
DIGITS = 4

Image = tuple[str, np.ndarray] | tuple[str, np.ndarray, np.ndarray]
"""(name, high) or (name, high, low); pixels uint8, HWC RGB or HW gray."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """One image's figures; not rounded."""

    name: str
    height: int
    """Of the HR image after cutting, in pixels."""
    width: int
    supplied: bool
    """Whether the benchmark brought the LR image."""
    scores: dict[str, Scores]
    """By upscaler: ours, bicubic, lanczos."""
    seconds: float
    """That our upscaler took."""


def evaluate(
    upscaler: Upscaler,
    images: Iterable[Image],
    protocol: EvalProtocol,
    out_dir: Path,
    progress: Progress = silent,
    *,
    lpips: Lpips | None = None,
    parameters: int | None = None,
) -> dict[str, Any]:
    """Judge `upscaler` on `images`; write per_image.csv, images/, report.html, run/timing.json and, last,
    report.json.

    HR images are cut at the bottom and right as the protocol says, at least to a multiple of the scale.
    The same images and model give the same report; durations stand apart, in run/timing.json.

    Args:
        upscaler: of the protocol's scale.
        images: read one by one; names are unique.
        protocol: see `sr.evaluation.protocols`.
        out_dir: made if missing.
        progress: called with images judged.
        lpips: measures LPIPS too, on RGB without the border.
        parameters: of the model, where the upscaler itself does not tell.

    Returns:
        What report.json holds: schema, model, cost, protocol, images, mean, baselines, per_image.

    Raises:
        UserError: no images, an image too small for the protocol or of a wrong size, names that repeat,
            LR images for some only, an upscaler of another scale, or LPIPS of luma alone.
    """
    _check(upscaler, protocol, lpips)
    total = len(images) if isinstance(images, Sized) else 0
    window_px = LEAST_PX if lpips else metrics.SSIM_WINDOW_PX
    judged: list[Judged] = []
    for name, hr_image, lr_image in _named_once(images):
        pair = make_pair(name, hr_image, lr_image, protocol, window_px)
        judged.append(_judge(upscaler, pair, protocol, out_dir, lpips))
        progress(len(judged), total, f"{name} {judged[-1].scores['ours']['psnr_db']:.2f} dB")
    report = _report(upscaler, judged, protocol)
    report["cost"] = {
        "parameters": cost.parameters(upscaler) or parameters,
        "gmacs_720p": cost.gmacs(upscaler),
    }
    write_bytes(out_dir / "per_image.csv", csv_of(report["per_image"]))
    write_json(out_dir / "run" / "timing.json", _timing(upscaler, judged))
    write_page(report, out_dir)
    write_json(out_dir / "report.json", report)
    return report


def _check(upscaler: Upscaler, protocol: EvalProtocol, lpips: Lpips | None) -> None:
    check(protocol)
    if upscaler.scale != protocol.scale:
        remedy = f"evaluate it at scale {upscaler.scale}, or another model"
        raise UserError(
            f"a model of scale {protocol.scale}", f"scale {upscaler.scale}", upscaler.name, remedy
        )
    if lpips and protocol.rounding == "classic":
        raise UserError("images of RGB for LPIPS", "luma alone", "the protocol classic", "choose another")


def _named_once(images: Iterable[Image]) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    seen: set[str] = set()
    for name, hr_image, *rest in images:
        if sheet_name(name) in seen:
            raise UserError(
                "a name for each image", f"{name!r} twice", "the benchmark", "rename one of the two"
            )
        seen.add(sheet_name(name))
        yield name, hr_image, rest[0] if rest else None


def _judge(
    upscaler: Upscaler, pair: Pair, protocol: EvalProtocol, out_dir: Path, lpips: Lpips | None
) -> Judged:
    start = time.perf_counter()
    ours = upscale(upscaler, pair, protocol)
    seconds = time.perf_counter() - start
    made = {"ours": ours} | {name: upscale(formula(name, protocol), pair, protocol) for name in FORMULAS}
    scores = {kind: score(pair.hr_image, image, protocol) for kind, image in made.items()}
    if lpips:
        inner = {kind: metrics.crop_border(image, protocol.border_px) for kind, image in made.items()}
        truth = lpips.features(metrics.crop_border(pair.hr_image, protocol.border_px))
        for kind, image in inner.items():
            scores[kind]["lpips"] = lpips.distance(truth, image)
    labels = [
        "original",
        *(f"{kind} {scores[kind]['psnr_db']:.2f} dB" for kind in ("ours", "bicubic")),
        "low, upscaled",
    ]
    sheet = side_by_side(pair.hr_image, ours, made["bicubic"], pair.lr_image, labels)
    write_bytes(out_dir / "images" / sheet_name(pair.name), sheet)
    return Judged(pair.name, pair.hr_image.shape[0], pair.hr_image.shape[1], pair.supplied, scores, seconds)


def _report(upscaler: Upscaler, judged: list[Judged], protocol: EvalProtocol) -> dict[str, Any]:
    if len({item.supplied for item in judged}) != 1:
        got = "for some only" if judged else "no images"
        raise UserError("LR images for all or for none", got, "the benchmark", "complete it")
    supplied = judged[0].supplied
    plain = to_plain(protocol) | ({"degradation": SUPPLIED} if supplied else {})
    return {
        "schema": SCHEMA,
        "model": {"name": upscaler.name, "scale": upscaler.scale, "sha256": upscaler.sha256},
        "protocol": {**plain, "name": title(protocol, supplied), "psnr_cap_db": PSNR_CAP_DB},
        "images": len(judged),
        "mean": _mean(judged, "ours"),
        "baselines": {name: _mean(judged, name) for name in FORMULAS},
        "per_image": [_row(item) for item in judged],
    }


def _capped(scores: Scores) -> Scores:
    return scores | {"psnr_db": min(scores["psnr_db"], PSNR_CAP_DB)}


def _mean(judged: list[Judged], kind: str) -> Scores:
    capped = [_capped(item.scores[kind]) for item in judged]
    return {key: round(statistics.fmean(scores[key] for scores in capped), DIGITS) for key in capped[0]}


def _row(item: Judged) -> dict[str, Any]:
    rounded = {kind: {k: round(v, DIGITS) for k, v in _capped(s).items()} for kind, s in item.scores.items()}
    baselines = {name: rounded[name] for name in FORMULAS}
    return {"name": item.name, "height": item.height, "width": item.width, **rounded["ours"], **baselines}


def _timing(upscaler: Upscaler, judged: list[Judged]) -> dict[str, Any]:
    """Durations and the machine they were taken on; outside every hash. The first image may include warming
    up.
    """
    per_megapixel = [item.seconds / (item.height * item.width / 1e6) for item in judged]
    return {
        "model": upscaler.name,
        "frame": time_frame(upscaler),
        "image": spread_ms([item.seconds for item in judged]),
        "per_image_ms": {item.name: round(1000 * item.seconds, 3) for item in judged},
        "output_megapixel": spread_ms(per_megapixel),
        "host": host_facts(),
    }
