"""Choose the file to deploy among the exports of a model."""

import math
from collections.abc import Mapping

from sr.report.formats import TORCH, Figures

MAX_LOSS_DB = 0.2
"""An exported file is deployed only if its PSNR is at most this much below PyTorch's."""


def choose_file(
    files: Mapping[str, Figures], benchmarks: Mapping[str, Figures], timings: Mapping[str, Figures]
) -> Figures | None:
    """Choose the file to deploy: the fastest exported one whose PSNR is at most MAX_LOSS_DB below PyTorch's.

    It must be so on every benchmark dataset. Formats that were not timed come after those that were; of two that are
    equally fast, the smaller file wins.

    Args:
        files, timings: by format.
        benchmarks: by name, with the figures of each format.

    Returns:
        format, path, files, bytes and precision; None where no exported file was evaluated, or none is close enough.
    """
    close = [name for name in files if name != TORCH and _is_close(name, benchmarks)]
    if not close:
        return None
    milliseconds = {name: timings[name]["median_ms"] if name in timings else math.inf for name in close}
    best = min(close, key=lambda name: (milliseconds[name], files[name]["bytes"], name))
    return files[best] | {"format": best}


def _is_close(name: str, benchmarks: Mapping[str, Figures]) -> bool:
    differences = [
        benchmark["models"].get(name, {}).get("difference_db") for benchmark in benchmarks.values()
    ]
    return bool(differences) and all(item is not None and item >= -MAX_LOSS_DB for item in differences)
