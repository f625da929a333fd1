"""Rate-distortion curves: Bjøntegaard deltas, where two curves cross, and the convex hull of several.

Deltas are those of the package `bjontegaard` (Akima interpolation over the logarithm of the rate). The crossover comes
from the same interpolation. How sure it is, follows from what other interpolations, and the curves without one of their
points, would say.
"""

import dataclasses
import itertools
import math
import warnings
from collections.abc import Sequence

import bjontegaard
import numpy as np
import numpy.typing as npt
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator
from scipy.optimize import brentq

MIN_POINTS = 4
"""Fewer points of a curve give no delta."""
METHOD = "akima"
_INTERPOLATIONS = {"akima": Akima1DInterpolator, "pchip": PchipInterpolator}
_GRID = 400
"""Steps of the common range of rates in which a change of sign is looked for."""

Points = Sequence[tuple[float, float]]
"""(rate in kbit/s, quality), in any order."""
Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Delta:
    """How one curve compares with another over the qualities, or rates, that both have."""

    rate_percent: float | None
    """BD-rate: how much more bits it needs for the same quality; negative is better. None: see `note`."""
    quality: float | None
    """BD-metric: how much higher its quality is at the same rate."""
    overlap: float
    """Share of both curves' qualities that they have in common: below 0.75 BD-rate says little."""
    note: str = ""
    """Why there is no figure."""


@dataclasses.dataclass(frozen=True)
class Crossover:
    """Where half size stops being better."""

    verdict: str
    """always, never, below (better below `kbps`), above, or unknown."""
    kbps: float | None = None
    low_kbps: float | None = None
    """The lowest rate that another interpolation, or the curves without one point, give."""
    high_kbps: float | None = None
    note: str = ""


def compute_delta(reference: Points, other: Points) -> Delta:
    """Compare a curve with a reference.

    Source: Bjøntegaard, VCEG-M33, 2001; Herglotz et al., "Beyond Bjøntegaard", 2022 (Akima).
    """
    curves = [sort_curve(one) for one in (reference, other)]
    if note := next((note for one in curves if (note := find_flaw(one))), ""):
        return Delta(None, None, 0.0, note)
    (rates, levels), (other_rates, other_levels) = curves
    common = min(levels.max(), other_levels.max()) - max(levels.min(), other_levels.min())
    whole = max(levels.max(), other_levels.max()) - min(levels.min(), other_levels.min())
    if common <= 0:
        return Delta(None, None, 0.0, "the curves have no quality in common")
    given = (rates, levels, other_rates, other_levels)
    options = {"method": METHOD, "require_matching_points": False, "min_overlap": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rate = float(bjontegaard.bd_rate(*given, **options))
        quality = float(bjontegaard.bd_psnr(*given, **options))
    return Delta(
        rate if math.isfinite(rate) else None, quality if math.isfinite(quality) else None, common / whole
    )


def sort_curve(points: Points) -> tuple[Array, Array]:
    """Return rates and qualities in ascending order of the rate."""
    ordered = np.array(sorted(points), dtype=np.float64).reshape(-1, 2)
    return ordered[:, 0], ordered[:, 1]


def find_flaw(curve: tuple[Array, Array]) -> str:
    """Return why a curve cannot be interpolated, in words; empty if it can."""
    rates, levels = curve
    if len(rates) < MIN_POINTS:
        return f"{len(rates)} points, fewer than {MIN_POINTS}"
    if not (np.all(np.diff(rates) > 0) and np.all(np.diff(levels) > 0)):
        return "quality does not rise with the rate"
    return ""


def find_crossover(full: Points, half: Points) -> Crossover:
    """Find the rate below which half size has the higher quality.

    Args:
        full: the curve of the clip at full size.
        half: that of half size, upscaled.
    """
    if note := find_flaw(sort_curve(full)) or find_flaw(sort_curve(half)):
        return Crossover("unknown", note=note)
    verdict, rate = _cross(full, half, METHOD)
    if rate is None:
        return Crossover(verdict, note="" if verdict != "unknown" else "the curves have no rate in common")
    rates = [rate]
    for method, (one, other) in itertools.product(_INTERPOLATIONS, _leave_one_out(full, half)):
        found = _cross(one, other, method)
        if found[0] == verdict and found[1] is not None:
            rates.append(found[1])
    return Crossover(verdict, rate, min(rates), max(rates))


def _cross(full: Points, half: Points, method: str) -> tuple[str, float | None]:
    """Return the verdict over the rates that both curves have, and the rate where it changes last."""
    interpolate = _INTERPOLATIONS[method]
    curves = [sort_curve(one) for one in (full, half)]
    low = max(math.log(rates[0]) for rates, _ in curves)
    high = min(math.log(rates[-1]) for rates, _ in curves)
    if high <= low:
        return "unknown", None
    of_full, of_half = (interpolate(np.log(rates), levels) for rates, levels in curves)

    def gain(log_rate: float) -> float:
        return float(of_half(log_rate) - of_full(log_rate))

    grid = np.linspace(low, high, _GRID)
    signs = np.sign(of_half(grid) - of_full(grid))
    changes = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    if not len(changes):
        return ("always" if signs.sum() > 0 else "never"), None
    last = changes[-1]
    rate = math.exp(brentq(gain, grid[last], grid[last + 1]))
    return ("below" if signs[last] > 0 else "above"), rate


def _leave_one_out(full: Points, half: Points) -> list[tuple[Points, Points]]:
    """Return both curves as they are, and without one of their inner points each time."""
    variants = [(full, half)]
    if min(len(full), len(half)) > MIN_POINTS:
        full, half = sorted(full), sorted(half)
        variants += [([*full[:one], *full[one + 1 :]], half) for one in range(1, len(full) - 1)]
        variants += [(full, [*half[:one], *half[one + 1 :]]) for one in range(1, len(half) - 1)]
    return variants


def find_hull(curves: dict[str, Points]) -> list[tuple[float, float, str]]:
    """Return the upper convex hull of all curves over the logarithm of the rate: what to choose at which rate.

    Returns:
        (rate in kbit/s, quality, name of the curve), in ascending order of the rate.
    """
    points = sorted((rate, level, name) for name, curve in curves.items() for rate, level in curve)
    hull: list[tuple[float, float, str]] = []
    for one in points:
        if hull and one[1] <= hull[-1][1]:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], one):
            hull.pop()
        while hull and hull[-1][0] == one[0]:
            hull.pop()
        hull.append(one)
    return hull


def _slope(first: tuple[float, float, str], second: tuple[float, float, str]) -> float:
    run = math.log(second[0]) - math.log(first[0])
    return (second[1] - first[1]) / run if run else math.inf
