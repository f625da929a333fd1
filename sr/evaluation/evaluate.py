"""Evaluate an upscaler on a benchmark dataset: one protocol, every image, always beside bicubic and Lanczos.

Holds one image in memory at a time. The caller provides the upscaler and the images: nothing here trains, loads a model
or downloads a dataset.
"""

import dataclasses
import statistics
import time
from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from data.atomic_files import write_bytes, write_json
from data.errors import UserError
from data.progress import Progress, silent
from data.record_json import to_plain
from sr.evaluation import cost, metrics
from sr.evaluation.evaluation_page import write_page
from sr.evaluation.image_pair import Figures, ImagePair, build_baseline, make_pair, measure, upscale_pair
from sr.evaluation.metrics import PSNR_CAP_DB
from sr.evaluation.panels import sheet_name, write_panels
from sr.evaluation.protocols import PROVIDED, EvaluationProtocol, check_protocol, describe_settings
from sr.evaluation.side_by_side import make_panels
from sr.evaluation.tables import SCHEMA, to_csv
from sr.evaluation.timing import describe_host, summarize_durations, time_frame
from sr.runtime.filters import INTERPOLATION_FILTERS
from sr.runtime.upscaler import Upscaler

if TYPE_CHECKING:
    from sr.evaluation.lpips import Lpips  # it imports torch, which filters and exported files do without

DIGITS = 4
_MODEL = "model"

Pixels = npt.NDArray[np.uint8]
NamedImage = tuple[str, Pixels] | tuple[str, Pixels, Pixels]
"""(name, HR image) or (name, HR image, LR image); pixels are uint8, HWC RGB or HW gray."""


@dataclasses.dataclass(frozen=True)
class EvaluatedImage:
    """The figures of one image; not rounded."""

    name: str
    height: int
    """Of the HR image after modcrop, in pixels."""
    width: int
    lr_provided: bool
    """Whether the benchmark dataset provided the LR image."""
    figures: dict[str, Figures]
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
    lpips: "Lpips | None" = None,
    parameters: int | None = None,
) -> dict[str, Any]:
    """Evaluate `upscaler` on `images`, and write the figures, the side-by-side images and a page.

    Writes images/, panels/, per_image.csv, run/timing.json, report.html and, last, report.json. The same images and
    model give the same report; durations are kept apart, in run/timing.json.

    Args:
        upscaler: of the protocol's scale.
        images: read one by one; names are unique.
        protocol: see `sr.evaluation.protocols`.
        out_dir: made if missing.
        progress: called with the number of images evaluated.
        lpips: if given, LPIPS is measured too, on RGB without the border.
        parameters: of the model, where they cannot be counted in the upscaler itself.

    Returns:
        What report.json holds: schema, model, cost, protocol, images, mean, baselines, per_image.

    Raises:
        UserError: there are no images; an image is too small, or its LR image has a wrong size; names repeat; LR
            images are provided for some only; the upscaler has another scale; or LPIPS is asked of luma alone.
    """
    _check(upscaler, protocol, lpips)
    total = len(images) if isinstance(images, Sized) else 0
    min_side_px = _min_side_px(lpips)
    evaluated: list[EvaluatedImage] = []
    for name, hr_image, lr_image in _check_names(images):
        pair = make_pair(name, hr_image, lr_image, protocol, min_side_px)
        evaluated.append(_evaluate_pair(upscaler, pair, protocol, out_dir, lpips))
        progress(len(evaluated), total, f"{name} {evaluated[-1].figures[_MODEL]['psnr_db']:.2f} dB")
    report = _make_report(upscaler, evaluated, protocol, parameters)
    write_bytes(out_dir / "per_image.csv", to_csv(report["per_image"]))
    write_json(out_dir / "run" / "timing.json", _make_timing(upscaler, evaluated))
    write_page(report, out_dir)
    write_json(out_dir / "report.json", report)
    return report


def _check(upscaler: Upscaler, protocol: EvaluationProtocol, lpips: "Lpips | None") -> None:
    check_protocol(protocol)
    if upscaler.scale != protocol.scale:
        raise UserError(
            f"{upscaler.name} is a model of scale {upscaler.scale}, but the protocol has scale {protocol.scale}",
            f"Evaluate it at scale {upscaler.scale}, or choose another model",
        )
    if lpips and protocol.rounding == "classic":
        raise UserError(
            "LPIPS needs RGB images, but the protocol classic measures luma alone",
            "Choose another protocol, or turn LPIPS off",
        )


def _min_side_px(lpips: "Lpips | None") -> int:
    """Return the smallest side that the metrics can measure, in pixels."""
    if lpips is None:
        return metrics.SSIM_WINDOW_PX
    from sr.evaluation.lpips import MIN_SIDE_PX

    return MIN_SIDE_PX


def _check_names(images: Iterable[NamedImage]) -> Iterator[tuple[str, Pixels, Pixels | None]]:
    """Yield the images, with None where there is no LR image; refuse names that would share a file."""
    seen: set[str] = set()
    for name, hr_image, *rest in images:
        if sheet_name(name) in seen:
            raise UserError(
                f"The benchmark dataset has two images named {name!r} (a slash counts as an underscore)",
                "Rename one of the two",
            )
        seen.add(sheet_name(name))
        yield name, hr_image, rest[0] if rest else None


def _evaluate_pair(
    upscaler: Upscaler, pair: ImagePair, protocol: EvaluationProtocol, out_dir: Path, lpips: "Lpips | None"
) -> EvaluatedImage:
    """Upscale and measure one image, and write its side-by-side view."""
    start = time.perf_counter()
    results = {_MODEL: upscale_pair(upscaler, pair, protocol)}
    seconds = time.perf_counter() - start
    with ThreadPoolExecutor() as pool:
        baselines = pool.map(
            lambda name: upscale_pair(build_baseline(name, protocol), pair, protocol), INTERPOLATION_FILTERS
        )
        results |= dict(zip(INTERPOLATION_FILTERS, baselines, strict=True))
        measured = pool.map(lambda image: measure(pair.hr_image, image, protocol), results.values())
        figures = dict(zip(results, measured, strict=True))
    if lpips:
        original = lpips.features(metrics.crop_border(pair.hr_image, protocol.border_px))
        for name, image in results.items():
            cropped = metrics.crop_border(image, protocol.border_px)
            figures[name]["lpips"] = lpips.distance(original, cropped)
    labels = {"original": "original", "lr": "LR image, magnified"}
    labels |= {name: f"{name} {figures[name]['psnr_db']:.2f} dB" for name in (_MODEL, "bicubic")}
    panels = make_panels(pair.hr_image, results[_MODEL], results["bicubic"], pair.lr_image)
    write_panels(pair.name, panels, labels, out_dir)
    height, width = pair.hr_image.shape[:2]
    return EvaluatedImage(pair.name, height, width, pair.lr_provided, figures, seconds)


def _make_report(
    upscaler: Upscaler, evaluated: list[EvaluatedImage], protocol: EvaluationProtocol, parameters: int | None
) -> dict[str, Any]:
    if not evaluated:
        raise UserError("The benchmark dataset has no images", "Check its folder")
    if len({item.lr_provided for item in evaluated}) != 1:
        raise UserError(
            "The benchmark dataset provides LR images for some of its images only",
            "Complete them, or remove them all",
        )
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
