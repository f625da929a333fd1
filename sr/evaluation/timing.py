"""Measure how long an upscaler takes for one frame: warm-up first, then the median and the range.

Durations differ from run to run, so they are stored outside everything that is hashed.
"""

import os
import platform
import statistics
import time
from typing import Any

import numpy as np

from sr.runtime.upscaler import Upscaler

FRAME_PX = 256
WARM_UP_ROUNDS = 2
MIN_ROUNDS, MAX_ROUNDS = 3, 30
BUDGET_S = 3.0


def summarize_durations(seconds: list[float]) -> dict[str, float | int]:
    """Return the median, the extremes (ms) and the count of at least one duration in seconds."""
    return {
        "median_ms": round(1000 * statistics.median(seconds), 3),
        "min_ms": round(1000 * min(seconds), 3),
        "max_ms": round(1000 * max(seconds), 3),
        "rounds": len(seconds),
    }


def time_frame(upscaler: Upscaler) -> dict[str, Any]:
    """Time one frame of 256x256 px, or of the one size that the model takes, from pixels to pixels.

    Two warm-up rounds; then as many rounds as fit into three seconds, 3 at least and 30 at most. The frame is noise: no
    network here is faster or slower for its content.

    Returns:
        lr_image_px and hr_image_px (width and height), and what `summarize_durations` returns.
    """
    height, width = upscaler.fixed_size or (FRAME_PX, FRAME_PX)
    lr_image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for _ in range(WARM_UP_ROUNDS):
        upscaler(lr_image)
    seconds: list[float] = []
    while len(seconds) < MIN_ROUNDS or (sum(seconds) < BUDGET_S and len(seconds) < MAX_ROUNDS):
        start = time.perf_counter()
        upscaler(lr_image)
        seconds.append(time.perf_counter() - start)
    hr_image_px = [width * upscaler.scale, height * upscaler.scale]
    return {"lr_image_px": [width, height], "hr_image_px": hr_image_px, **summarize_durations(seconds)}


def describe_host() -> dict[str, Any]:
    """Describe the machine that durations are measured on."""
    return {
        "machine": platform.machine(),
        "processor": _read_processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _read_processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(
                (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown"
            )
    except OSError:
        return platform.processor() or "unknown"
