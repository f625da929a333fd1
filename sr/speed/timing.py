"""Measure durations: interleaved rounds, percentiles, frames per second. Knows neither models nor devices."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Clock = Callable[[], float]
"""Seconds since some moment."""


@dataclasses.dataclass(frozen=True)
class TimingSettings:
    """How long each row is measured for."""

    budget_s: float = 2.0
    """Rounds are added until they took this long in total …"""
    min_rounds: int = 5
    """… but never fewer …"""
    max_rounds: int = 200
    """… nor more."""
    warm_up_rounds: int = 2
    """Run before, and not counted."""


def time_interleaved(
    calls: Mapping[str, Callable[[], object]], settings: TimingSettings, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Time several calls in turn, one round of each after the other, so that disturbances affect all alike.

    Args:
        calls: what is timed, by name.
        settings: the budget is each call's; rounds go on until the slowest has used its own, or there are
            `max_rounds`.
        clock: replaced in tests.

    Returns:
        Seconds by name, the same number for each; without the warm-up rounds.
    """
    for _ in range(settings.warm_up_rounds):
        for call in calls.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for done in range(settings.max_rounds):
        if done >= settings.min_rounds and max(map(sum, seconds.values())) >= settings.budget_s:
            break
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return seconds


def measure_throughput(
    submit: Callable[[], object],
    wait: Callable[[], object],
    requests: int,
    settings: TimingSettings,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Measure frames per second with several requests in flight.

    Args:
        submit: submits a frame, and blocks only while all requests are busy.
        wait: waits for everything that was submitted.
        requests: how many are in flight at once. Each is warmed up with a frame, and at least twice as many frames
            are timed.
        settings: the budget applies; rounds are frames, at least twice `requests`.
        clock: replaced in tests.

    Returns:
        frames_per_s, frames and requests.
    """
    for _ in range(requests):
        submit()
    wait()
    min_frames, frames = max(2 * requests, settings.min_rounds), 0
    start = clock()
    while frames < min_frames or clock() - start < settings.budget_s:
        submit()
        frames += 1
    wait()
    return {
        "frames_per_s": round(frames / (clock() - start), 3),
        "frames": frames,
        "requests": requests,
    }


def summarize_percentiles(seconds: list[float]) -> dict[str, float | int]:
    """Return the median, the 10th and 90th percentiles (ms, interpolated) and the count of at least one duration."""
    p10, median, p90 = np.percentile(np.array(seconds) * 1000, [10, 50, 90])
    return {
        "median_ms": round(float(median), 3),
        "p10_ms": round(float(p10), 3),
        "p90_ms": round(float(p90), 3),
        "rounds": len(seconds),
    }


def short_message(error: Exception) -> str:
    """Return an error's message on one line, for a row without figures."""
    return " ".join(str(error).split())[:200]


def round_significant(value: float) -> float:
    """Round to four significant digits."""
    return float(f"{value:.4g}")
