"""Measuring how long an upscaler takes: warm-up first, then medians and spreads. What it finds goes outside
every hash.
"""

import os
import platform
import statistics
import time
from typing import Any

import numpy as np

from sr.runtime.upscalers import Upscaler

FRAME_PX = 256
WARM_UP_ROUNDS = 2
MIN_ROUNDS, MAX_ROUNDS = 3, 30
BUDGET_S = 3.0


def spread_ms(seconds: list[float]) -> dict[str, float | int]:
    """The median, the extremes (ms) and the count of at least one duration in seconds."""
    return {
        "median_ms": round(1000 * statistics.median(seconds), 3),
        "min_ms": round(1000 * min(seconds), 3),
        "max_ms": round(1000 * max(seconds), 3),
        "rounds": len(seconds),
    }


def time_frame(upscaler: Upscaler) -> dict[str, Any]:
    """How long one frame takes, pixels in to pixels out: of 256x256, or of the one size that the model takes.

    Two rounds of warm-up; then as many rounds as fit in three seconds, 3 at least and 30 at most. Noise is
    upscaled: no network here is faster or slower for what it sees.

    Returns:
        lr_image_px and hr_image_px (width and height), and what `spread_ms` gives.
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
    return {"lr_image_px": [width, height], "hr_image_px": hr_image_px, **spread_ms(seconds)}


def host_facts() -> dict[str, Any]:
    """The machine that a duration was measured on."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(
                (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown"
            )
    except OSError:
        return platform.processor() or "unknown"
