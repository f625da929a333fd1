"""Taking times: rounds in turn, percentiles, frames a second. Knows neither models nor devices."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Clock = Callable[[], float]
"""Seconds since some moment."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long a row is measured for."""

    budget_s: float = 2.0
    """Rounds are added until they took so long together …"""
    least_rounds: int = 5
    """… but never fewer …"""
    most_rounds: int = 200
    """… nor more."""
    warm_up_rounds: int = 2


def in_turn(
    calls: Mapping[str, Callable[[], object]], limits: Limits, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Time several calls, a round of each after the other, so that what disturbs the machine disturbs all alike.

    Args:
        calls: what is timed, by name.
        limits: the budget is each call's; the rounds go on until the slowest has used its own, or there are
            `most_rounds`.
        clock: replaced in tests.

    Returns:
        Seconds by name, as many for each; warm-up rounds are not among them.
    """
    for _ in range(limits.warm_up_rounds):
        for call in calls.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for done in range(limits.most_rounds):
        if done >= limits.least_rounds and max(map(sum, seconds.values())) >= limits.budget_s:
            break
        for name, call in calls.items():
            begun = clock()
            call()
            seconds[name].append(clock() - begun)
    return seconds


def first_line(error: Exception) -> str:
    """What went wrong, for a row that has no figures."""
    return " ".join(str(error).split())[:200]


def significant(value: float) -> float:
    """A value to four significant digits."""
    return float(f"{value:.4g}")


def spread(seconds: list[float]) -> dict[str, float | int]:
    """The median and the 10th and 90th percentiles (ms, interpolated) of at least one duration, and how many."""
    low, middle, high = np.percentile(np.array(seconds) * 1000, [10, 50, 90])
    return {
        "median_ms": round(float(middle), 3),
        "p10_ms": round(float(low), 3),
        "p90_ms": round(float(high), 3),
        "rounds": len(seconds),
    }


def side_by_side(
    submit: Callable[[], object],
    finish: Callable[[], object],
    requests: int,
    limits: Limits,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Frames a second when several requests are under way at once.

    Args:
        submit: hands over a frame, and waits only while all requests are busy.
        finish: waits for all that were submitted.
        requests: how many fit at once; each is warmed up with a frame, and at least two are timed.
        limits: the budget counts; rounds are frames, at least twice `requests`.
        clock: replaced in tests.

    Returns:
        frames_per_s, frames and requests.
    """
    for _ in range(requests):
        submit()
    finish()
    least, frames = max(2 * requests, limits.least_rounds), 0
    begun = clock()
    while frames < least or clock() - begun < limits.budget_s:
        submit()
        frames += 1
    finish()
    return {
        "frames_per_s": round(frames / (clock() - begun), 3),
        "frames": frames,
        "requests": requests,
    }
