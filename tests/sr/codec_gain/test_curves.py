import numpy as np
import pytest
from scipy.interpolate import Akima1DInterpolator, CubicSpline

from sr.codec_gain.compare_points import describe_crossover, describe_layer
from sr.codec_gain.curves import Crossover, compute_delta, find_crossover, find_hull

RATES = (9487.76, 4593.60, 2486.44, 1358.24)
ANCHOR = list(zip(RATES, (40.037, 38.615, 36.845, 34.851), strict=True))
OTHER = list(zip((9787.80, 4469.00, 2451.52, 1356.24), (40.121, 38.651, 36.970, 34.987), strict=True))
"""x265 with two presets: the example in the documentation of the package bjontegaard."""


def log_curve(rates, slope, offset):
    return [(rate, slope * np.log(rate) + offset) for rate in rates]


def test_equal_curves_differ_by_nothing():
    found = compute_delta(ANCHOR, ANCHOR)
    assert (found.rate_percent, found.quality, found.overlap) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("percent", [10.0, -25.0])
def test_a_curve_that_is_shifted_in_rate_has_that_bd_rate(percent):
    shifted = [(rate * (1 + percent / 100), level) for rate, level in ANCHOR]
    assert compute_delta(ANCHOR, shifted).rate_percent == pytest.approx(percent, abs=0.1)


def test_bd_rate_is_the_mean_distance_of_the_logarithms_of_the_rates():
    inverse = [
        Akima1DInterpolator(*np.array([(level, np.log(rate)) for rate, level in sorted(curve)]).T)
        for curve in (ANCHOR, OTHER)
    ]
    levels = np.linspace(34.987, 40.037, 20_001)
    expected = 100 * (np.exp(np.mean(inverse[1](levels) - inverse[0](levels))) - 1)
    found = compute_delta(ANCHOR, OTHER)
    assert found.rate_percent == pytest.approx(expected, abs=0.02)
    # Another interpolation of the same points comes to nearly the same.
    spline = [
        CubicSpline(*np.array([(level, np.log(rate)) for rate, level in sorted(curve)]).T)
        for curve in (ANCHOR, OTHER)
    ]
    other = 100 * (np.exp(np.mean(spline[1](levels) - spline[0](levels))) - 1)
    assert found.rate_percent == pytest.approx(other, abs=0.5)


def test_what_cannot_be_compared_says_why():
    assert "fewer than 4" in compute_delta(ANCHOR[:3], ANCHOR).note
    assert "no quality in common" in compute_delta(ANCHOR, [(rate, level + 9) for rate, level in ANCHOR]).note
    falling = [*ANCHOR[:3], (1000.0, 41.0)]
    assert "does not rise" in compute_delta(ANCHOR, falling).note
    assert find_crossover(ANCHOR, falling).verdict == "unknown"


def test_the_crossover_is_where_the_curves_meet():
    rates = np.geomspace(100, 3200, 6)
    full, half = log_curve(rates, 3.0, 10.0), log_curve(rates, 2.0, 10.0 + np.log(500))
    found = find_crossover(full, half)
    assert found.verdict == "below" and found.kbps == pytest.approx(500, rel=1e-6)
    assert found.low_kbps == pytest.approx(500, rel=1e-3) and found.high_kbps == pytest.approx(500, rel=1e-3)
    assert find_crossover(half, full).verdict == "above"
    assert find_crossover(full, log_curve(rates, 3.0, 11.0)).verdict == "always"
    assert find_crossover(full, log_curve(rates, 3.0, 9.0)).verdict == "never"


def test_an_outlier_widens_what_the_crossover_may_be():
    rates = np.geomspace(100, 3200, 6)
    full, half = log_curve(rates, 3.0, 10.0), log_curve(rates, 2.0, 10.0 + np.log(500))
    half[2] = (half[2][0], half[2][1] + 0.3)
    found = find_crossover(full, half)
    assert found.low_kbps < found.kbps <= found.high_kbps
    assert "between" in describe_crossover(found)


def test_crossovers_in_words():
    assert describe_crossover(Crossover("never")) == "full size is better at every rate that both have"
    assert describe_crossover(Crossover("below", 412.4, 380.0, 450.6)) == (
        "half size is better below 412 kbit/s (between 380 and 451)"
    )


def test_the_hull_takes_the_best_curve_at_each_rate():
    full, half = [(100.0, 20.0), (400.0, 34.0), (1600.0, 42.0)], [(50.0, 22.0), (200.0, 31.0), (800.0, 33.0)]
    hull = find_hull({"full": full, "half": half})
    assert [(rate, name) for rate, _, name in hull] == [(50, "half"), (200, "half"), (1600, "full")]
    (only,) = find_hull({"full": [(100.0, 5.0), (100.0, 6.0), (200.0, 4.0)]})
    assert only == (100.0, 6.0, "full")


def test_the_page_says_what_a_layer_costs_and_whether_it_pays():
    def point(rate, level, **more):
        return {"bytes": rate, "kbps": rate, "mean": {"vmaf": level}, **more}

    rates = [100, 200, 400, 800]
    layer = {"layer": {"crf": 34, "bytes": 30}}
    clip = {
        "curves": {
            "half + m": [point(rate, 10 * np.log2(rate)) for rate in rates],
            "half + m + layer 4": [point(rate * 1.1, 10 * np.log2(rate), **layer) for rate in rates],
        },
        "deltas": {
            "vmaf": [{"reference": "half + m", "other": "half + m + layer 4", "rate_percent": 10.0}],
        },
    }
    assert describe_layer("clip", clip, "half + m") == []
    (line,) = describe_layer("clip", clip, "half + m + layer 4")
    assert line == (
        "clip, VMAF, half + m + layer 4: the layer takes 7% of the bits; against half + m BD-rate +10.0 %, it does"
        " not pay."
    )
