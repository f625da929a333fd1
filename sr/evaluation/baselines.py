"""Measure bicubic and Lanczos on a benchmark dataset, once for all models that are evaluated beside them.

The figures depend on the images and the protocol alone. They are kept unrounded, so that a report is the same whether
it reads them or measures them itself.
"""

import math
from collections.abc import Iterable, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.atomic_files import read_json, write_json
from data.errors import UserError
from data.progress import Progress, silent
from sr.evaluation import metrics
from sr.evaluation.degradation import RgbImage
from sr.evaluation.image_pair import Figures, ImagePair, build_baseline, measure, upscale_pair
from sr.evaluation.image_pairs import NamedImage, make_pairs
from sr.evaluation.protocols import EvaluationProtocol, describe_settings
from sr.runtime.filters import INTERPOLATION_FILTERS

if TYPE_CHECKING:
    from sr.evaluation.lpips import Lpips

RECORD = "baselines.json"
SCHEMA = 1

Baselines = Mapping[str, Mapping[str, Figures]]
"""The figures of bicubic and Lanczos, by image and filter; not rounded."""


def evaluate_baselines(
    images: Iterable[NamedImage],
    protocol: EvaluationProtocol,
    out_dir: Path,
    progress: Progress = silent,
    *,
    lpips: "Lpips | None" = None,
) -> Baselines:
    """Measure bicubic and Lanczos on every image, and write baselines.json.

    Args:
        images: read one by one; names are unique.
        protocol: its `filters` say whose bicubic and Lanczos they are.
        out_dir: made if missing.
        progress: called with the number of images measured.
        lpips: if given, LPIPS is measured too.

    Returns:
        What was written; `read_baselines` returns the same.

    Raises:
        UserError: as for `sr.evaluation.image_pairs.make_pairs`.
    """
    total = len(images) if isinstance(images, Sized) else 0
    baselines: dict[str, dict[str, Figures]] = {}
    lr_provided = False
    for pair in make_pairs(images, protocol, lpips):
        baselines[pair.name] = measure_baselines(pair, protocol, lpips)
        lr_provided = pair.lr_provided
        bicubic_db = baselines[pair.name]["bicubic"]["psnr_db"]
        progress(len(baselines), total, f"{pair.name} bicubic {bicubic_db:.2f} dB")
    record = {
        "schema": SCHEMA,
        "protocol": describe_settings(protocol, lr_provided),
        "images": {name: _to_json(figures) for name, figures in baselines.items()},
    }
    write_json(out_dir / RECORD, record)
    return baselines


def read_baselines(directory: Path) -> Baselines:
    """Read what `evaluate_baselines` wrote.

    Raises:
        UserError: the record is missing, or of another version.
    """
    path = directory / RECORD
    record: dict[str, Any] = read_json(path)
    if record.get("schema") != SCHEMA:
        raise UserError(
            f"{path} has version {record.get('schema')}, but this program reads version {SCHEMA}",
            f"Remove {directory} and run again",
        )
    return {name: _from_json(figures) for name, figures in record["images"].items()}


def measure_baselines(
    pair: ImagePair, protocol: EvaluationProtocol, lpips: "Lpips | None" = None
) -> dict[str, Figures]:
    """Upscale and measure one image with each filter, all filters at once."""

    def upscale_and_measure(name: str) -> tuple[RgbImage, Figures]:
        upscaled = upscale_pair(build_baseline(name, protocol), pair, protocol)
        return upscaled, measure(pair.hr_image, upscaled, protocol)

    with ThreadPoolExecutor(len(INTERPOLATION_FILTERS)) as pool:
        done = dict(
            zip(INTERPOLATION_FILTERS, pool.map(upscale_and_measure, INTERPOLATION_FILTERS), strict=True)
        )
    if lpips:
        add_lpips(pair, done.values(), protocol, lpips)
    return {name: figures for name, (_, figures) in done.items()}


def add_lpips(
    pair: ImagePair,
    results: Iterable[tuple[RgbImage, Figures]],
    protocol: EvaluationProtocol,
    lpips: "Lpips",
) -> None:
    """Measure LPIPS on RGB without the border, and add it to the figures of each upscaled image."""
    original = lpips.features(metrics.crop_border(pair.hr_image, protocol.border_px))
    for upscaled, figures in results:
        figures["lpips"] = lpips.distance(original, metrics.crop_border(upscaled, protocol.border_px))


def _to_json(figures: Mapping[str, Figures]) -> dict[str, dict[str, float | None]]:
    """Return figures with null in place of infinity, which JSON does not have."""
    return {
        name: {key: value if math.isfinite(value) else None for key, value in one.items()}
        for name, one in figures.items()
    }


def _from_json(figures: Mapping[str, Mapping[str, float | None]]) -> dict[str, Figures]:
    return {
        name: {key: math.inf if value is None else value for key, value in one.items()}
        for name, one in figures.items()
    }
