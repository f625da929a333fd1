"""Count what one step of each threshold of MakeCrops would change in the datasets of a selection.

What is stricter is counted from the metrics of the crops that the datasets have; what is looser, from the values that
rejections.jsonl has of the others. No pixel is read.
"""

import collections
from collections.abc import Sequence
from operator import lt
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.atomic_files import read_jsonl
from data.records import DatasetManifest
from data.shards import check_file
from pipeline.index import REJECTIONS
from pipeline.quality_filters import FILTERS, SOFT_BAND_DB, QualityThresholds, parse_detail
from pipeline.selection.crop_table import CropTable
from pipeline.selection_page.steps import ThresholdStep, ThresholdSteps, choose_step

_PACK = "pack"


def count_crop_thresholds(
    crops: CropTable,
    directories: Sequence[Path],
    manifests: Sequence[DatasetManifest],
    thresholds: Sequence[QualityThresholds],
) -> tuple[tuple[ThresholdSteps, ...], ...]:
    """Count for each dataset what its thresholds have rejected, and would one step looser and stricter.

    A looser threshold lets crops pass that a filter after it may still reject. Thresholds that are off are left out.

    Args:
        crops: the crops of all datasets, with every metric.
        directories, manifests: of the datasets.
        thresholds: those that each was made with.

    Raises:
        UserError: a file of a dataset is missing or damaged.
    """
    return tuple(
        _count_dataset(crops, np.flatnonzero(crops.datasets == number), _read_rejected(*each), one)
        for number, (each, one) in enumerate(
            zip(zip(directories, manifests, strict=True), thresholds, strict=True)
        )
    )


def _read_rejected(directory: Path, manifest: DatasetManifest) -> dict[str, npt.NDArray[np.float64]]:
    """Return the values of the crops that a filter has rejected, by the metric that it has looked at."""
    path = directory / REJECTIONS
    check_file(path, manifest.file_sha256.get(REJECTIONS, ""))
    values = collections.defaultdict(list)
    for one in read_jsonl(path):
        if one["stage"] == _PACK and (found := parse_detail(one["detail"])):
            values[found[0]].append(found[1])
    return {metric: np.array(of_metric) for metric, of_metric in values.items()}


def _count_dataset(
    crops: CropTable,
    rows: npt.NDArray[np.int64],
    rejected: dict[str, npt.NDArray[np.float64]],
    thresholds: QualityThresholds,
) -> tuple[ThresholdSteps, ...]:
    steps = []
    reached = len(rows) + sum(map(len, rejected.values()))
    for _, metric, name, rejects in FILTERS:
        threshold = getattr(thresholds, name)
        values = rejected.get(metric, np.zeros(0))
        if threshold:
            kept = crops.numbers(metric)[rows]
            if metric == "sharpness":  # plain crops are not compared
                kept = kept[crops.numbers("high_band_db")[rows] < SOFT_BAND_DB]
            steps.append(_count_filter(name, threshold, rejects is lt, values, kept, reached))
        reached -= len(values)
    return tuple(steps)


def _count_filter(
    name: str,
    threshold: float,
    is_least: bool,
    rejected: npt.NDArray[np.float64],
    kept: npt.NDArray[np.float64],
    reached: int,
) -> ThresholdSteps:
    """Count what one threshold rejects of what reaches it.

    Args:
        name: the key of [crops].
        threshold: its value.
        is_least: whether less than it is rejected, else more.
        rejected: values of the crops that it has rejected.
        kept: values of the crops that no filter has rejected.
        reached: how many crops no filter before it has rejected.
    """
    step = choose_step(np.concatenate((kept, rejected)))
    sign = 1 if is_least else -1

    def count(value: float) -> ThresholdStep:
        if not value:
            return ThresholdStep(f"{name} = 0 (off)", 0.0, 0)
        failing = (np.count_nonzero(sign * values < sign * value) for values in (rejected, kept))
        return ThresholdStep(f"{name} = {value:g}", value, sum(map(int, failing)))

    looser, stricter = (float(f"{threshold + way * sign * step:.9g}") for way in (-1, 1))
    if threshold > 0:  # decibels may be negative; a fraction is at most 1
        looser = (
            max(looser, 0.0) if is_least else min(looser, max(1.0, threshold)) if threshold < 1 else looser
        )
        stricter = max(stricter, step / 10)
    return ThresholdSteps(name, reached, count(looser), count(threshold), count(stricter))
