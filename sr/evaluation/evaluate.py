"""Evaluate an upscaler on a benchmark dataset: one protocol, every image, always beside bicubic and Lanczos.

Holds one image in memory at a time. The caller provides the upscaler and the images: nothing here trains, loads a model
or downloads a dataset. The figures of bicubic and Lanczos come from `sr.evaluation.baselines`.
"""

import dataclasses
import statistics
import time
from collections.abc import Iterable, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.atomic_files import write_bytes, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.record_json import to_plain
from sr.evaluation import cost
from sr.evaluation.baselines import Baselines, add_lpips, measure_baselines
from sr.evaluation.degradation import RgbImage
from sr.evaluation.evaluation_page import write_page
from sr.evaluation.image_pair import Figures, ImagePair, build_baseline, measure, upscale_pair
from sr.evaluation.image_pairs import NamedImage, make_pairs
from sr.evaluation.metrics import PSNR_CAP_DB
from sr.evaluation.panels import write_panels
from sr.evaluation.protocols import PROVIDED, EvaluationProtocol, describe_settings
from sr.evaluation.side_by_side import make_panels
from sr.evaluation.tables import SCHEMA, to_csv
from sr.evaluation.timing import describe_host, summarize_durations, time_frame
from sr.runtime.filters import INTERPOLATION_FILTERS
from sr.runtime.upscaler import Upscaler

if TYPE_CHECKING:
    from sr.evaluation.lpips import Lpips  # it imports torch, which filters and exported files do without

DIGITS = 4
_MODEL = "model"


@dataclasses.dataclass(frozen=True)
class EvaluatedImage:
    """The figures of one image; not rounded."""

    name: str
    height: int
    """Of the HR image after modcrop, in pixels."""
    width: int
    lr_provided: bool
    """Whether the benchmark dataset provided the LR image."""
    figures: Mapping[str, Figures]
    """By upscaler: model, bicubic, lanczos."""
    seconds: float
    """That the model took."""


def evaluate(
    upscaler: Upscaler,
    images: Iterable[NamedImage],
    protocol: EvaluationProtocol,
    out_dir: Path,
    progress: Progress = silent,
    *,
    baselines: Baselines | None = None,
    lpips: "Lpips | None" = None,
    parameters: int | None = None,
) -> dict[str, Any]:
    """Evaluate `upscaler` on `images`, and write the figures, the side-by-side images and a page.

    Writes images/, panels/, per_image.csv, run/timing.json (the durations), report.html and, last, report.json.

    Args:
        upscaler: of the protocol's scale.
        images: read one by one; names are unique.
        protocol: see `sr.evaluation.protocols`.
        out_dir: made if missing.
        progress: called with the number of images evaluated.
        baselines: the figures of bicubic and Lanczos on these images under this protocol, with LPIPS if that is
            measured; what is not given is measured here.
        lpips: if given, LPIPS is measured too, on RGB without the border.
        parameters: of the model, where they cannot be counted in the upscaler itself.

    Returns:
        What report.json holds: schema, model, cost, protocol, images, mean, baselines, per_image.

    Raises:
        UserError: the upscaler has another scale; or as for `sr.evaluation.image_pairs.make_pairs`.
    """
    _check_scale(upscaler, protocol)
    total = len(images) if isinstance(images, Sized) else 0
    evaluated: list[EvaluatedImage] = []
    for pair in make_pairs(images, protocol, lpips):
        known = (baselines or {}).get(pair.name) or measure_baselines(pair, protocol, lpips)
        evaluated.append(_evaluate_pair(upscaler, pair, known, protocol, out_dir, lpips))
        progress(len(evaluated), total, f"{pair.name} {evaluated[-1].figures[_MODEL]['psnr_db']:.2f} dB")
    report = _make_report(upscaler, evaluated, protocol, parameters)
    write_bytes(out_dir / "per_image.csv", to_csv(report["per_image"]))
    write_json(out_dir / "run" / "timing.json", _make_timing(upscaler, evaluated))
    write_page(report, out_dir)
    write_json(out_dir / "report.json", report)
    return report


def _check_scale(upscaler: Upscaler, protocol: EvaluationProtocol) -> None:
    if upscaler.scale != protocol.scale:
        raise UserError(
            f"{upscaler.name} is a model of scale {upscaler.scale}, but the protocol has scale {protocol.scale}",
            f"Evaluate it at scale {upscaler.scale}, or choose another model",
        )


def _evaluate_pair(
    upscaler: Upscaler,
    pair: ImagePair,
    baselines: Mapping[str, Figures],
    protocol: EvaluationProtocol,
    out_dir: Path,
    lpips: "Lpips | None",
) -> EvaluatedImage:
    """Upscale and measure one image, and write its side-by-side view."""
    start = time.perf_counter()
    upscaled = upscale_pair(upscaler, pair, protocol)
    seconds = time.perf_counter() - start
    figures, bicubic = _measure_model(upscaler, pair, upscaled, baselines, protocol)
    if lpips and "lpips" not in figures:
        add_lpips(pair, [(upscaled, figures)], protocol, lpips)
    labels = {"original": "original", "lr": "LR image, magnified"}
    labels |= {_MODEL: f"{_MODEL} {figures['psnr_db']:.2f} dB"}
    labels |= {"bicubic": f"bicubic {baselines['bicubic']['psnr_db']:.2f} dB"}
    write_panels(pair.name, make_panels(pair.hr_image, upscaled, bicubic, pair.lr_image), labels, out_dir)
    height, width = pair.hr_image.shape[:2]
    return EvaluatedImage(pair.name, height, width, pair.lr_provided, {_MODEL: figures, **baselines}, seconds)


def _measure_model(
    upscaler: Upscaler,
    pair: ImagePair,
    upscaled: RgbImage,
    baselines: Mapping[str, Figures],
    protocol: EvaluationProtocol,
) -> tuple[Figures, RgbImage]:
    """Return the model's figures, and the image that bicubic makes; what is known of a baseline is not made again."""
    bicubic = build_baseline("bicubic", protocol)
    is_baseline = isinstance(upscaler, type(bicubic))
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(
            lambda: (
                upscaled
                if is_baseline and upscaler.name == bicubic.name
                else upscale_pair(bicubic, pair, protocol)
            )
        )
        figures = (
            dict(baselines[upscaler.name]) if is_baseline else measure(pair.hr_image, upscaled, protocol)
        )
        return figures, made.result()


def _make_report(
    upscaler: Upscaler, evaluated: list[EvaluatedImage], protocol: EvaluationProtocol, parameters: int | None
) -> dict[str, Any]:
    lr_provided = evaluated[0].lr_provided
    settings = to_plain(protocol) | ({"degradation": PROVIDED} if lr_provided else {})
    return {
        "schema": SCHEMA,
        "model": {"name": upscaler.name, "scale": upscaler.scale, "sha256": upscaler.sha256},
        "cost": {
            "parameters": cost.count_parameters(upscaler) or parameters,
            "gmacs_720p": cost.count_gmacs(upscaler),
        },
        "protocol": {
            **settings,
            "name": describe_settings(protocol, lr_provided),
            "psnr_cap_db": PSNR_CAP_DB,
        },
        "images": len(evaluated),
        "mean": _mean(evaluated, _MODEL),
        "baselines": {name: _mean(evaluated, name) for name in INTERPOLATION_FILTERS},
        "per_image": [_make_row(item) for item in evaluated],
    }


def _cap(figures: Figures) -> Figures:
    return figures | {"psnr_db": min(figures["psnr_db"], PSNR_CAP_DB)}


def _mean(evaluated: list[EvaluatedImage], name: str) -> Figures:
    """Average the figures of one upscaler over the images."""
    capped = [_cap(item.figures[name]) for item in evaluated]
    return {key: round(statistics.fmean(figures[key] for figures in capped), DIGITS) for key in capped[0]}


def _make_row(item: EvaluatedImage) -> dict[str, Any]:
    """Make the row of an image: its size, the model's figures, and the baselines' under their names."""
    rounded = {
        name: {key: round(value, DIGITS) for key, value in _cap(figures).items()}
        for name, figures in item.figures.items()
    }
    baselines = {name: rounded[name] for name in INTERPOLATION_FILTERS}
    return {"name": item.name, "height": item.height, "width": item.width, **rounded[_MODEL], **baselines}


def _make_timing(upscaler: Upscaler, evaluated: list[EvaluatedImage]) -> dict[str, Any]:
    """Gather the durations and the machine they were measured on; the first image may include warming up."""
    per_megapixel = [item.seconds / (item.height * item.width / 1e6) for item in evaluated]
    return {
        "model": upscaler.name,
        "frame": time_frame(upscaler),
        "image": summarize_durations([item.seconds for item in evaluated]),
        "per_image_ms": {item.name: round(1000 * item.seconds, 3) for item in evaluated},
        "output_megapixel": summarize_durations(per_megapixel),
        "host": describe_host(),
    }
