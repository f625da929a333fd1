import cv2
import numpy as np
import pytest
from images import textured

from pipeline.downscale import downscale_by_two
from pipeline.quality_metrics import METRICS, measure_quality, rgb_to_luma

LUMA = rgb_to_luma(textured(3, 256, 256))
SMOOTH = cv2.GaussianBlur(LUMA, (0, 0), 6)


def measure(luma: np.ndarray, top: int = 0, left: int = 0) -> dict[str, float]:
    return measure_quality(luma, downscale_by_two(luma), top, left)


def add_noise(luma: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, luma.shape)
    return np.clip(luma + noise, 0, 255).round().astype(np.uint8)


def test_contrast_is_the_standard_deviation_of_luma():
    halves = np.zeros((64, 64), np.uint8)
    halves[:, 32:] = 100
    assert measure(halves)["contrast"] == 50.0


def test_sharpness_falls_with_blur():
    measured = [measure(cv2.GaussianBlur(LUMA, (0, 0), sigma))["sharpness"] for sigma in (0.5, 1, 2, 4)]
    assert measured == sorted(measured, reverse=True)
    assert measure(np.full((64, 64), 77, np.uint8))["sharpness"] == 0.0


def test_exposure_is_the_fraction_of_near_black_and_near_white_pixels():
    half_black = np.full((64, 64), 128, np.uint8)
    half_black[:32] = 5
    assert measure(half_black)["underexposed"] == 0.5 and measure(half_black)["overexposed"] == 0.0
    assert measure(255 - half_black)["overexposed"] == 0.5


def test_dark_pixels_that_show_something_are_not_underexposed():
    dark = add_noise(np.full((64, 64), 6, np.uint8), 3)
    assert dark.max() < 24
    assert measure(dark)["underexposed"] < 0.5 < measure(dark // 6)["underexposed"]


def test_the_smallest_and_odd_sizes_have_all_metrics():
    for height, width in ((16, 16), (17, 33), (100, 16), (31, 250)):
        for luma in (LUMA, SMOOTH, np.zeros_like(LUMA)):
            measured = measure(np.ascontiguousarray(luma[:height, :width]), 3, 5)
            assert tuple(measured) == METRICS and all(np.isfinite(list(measured.values())))


def test_metrics_have_a_fixed_number_of_decimals():
    """So that equal pixels give equal text in the records."""
    threes = ("underexposed", "overexposed", "equal_neighbors", "repeated_lines", "banding")
    decimals = dict.fromkeys(threes, 3) | {"border_px": 0}
    for name, value in measure(add_noise(LUMA, 3)).items():
        assert value == round(value, decimals.get(name, 2)) and isinstance(value, float)


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.transpose])
def test_mirrored_and_turned_crops_are_as_good(turn):
    luma = add_noise(LUMA, 2)
    one, other = measure(luma), measure(np.ascontiguousarray(turn(luma)))
    for name in ("contrast", "noise", "bhi_blockiness", "high_band_db", "equal_neighbors"):
        assert other[name] == pytest.approx(one[name], rel=0.25, abs=0.8), name


def made(height: int, width: int) -> np.ndarray:
    """Return an image of edges, ramps, bands, noise and a border, of whole numbers only."""
    random = np.random.default_rng(height + width)
    rows, columns = np.mgrid[:height, :width]
    image = 40 + (rows * rows // 7 + 3 * columns) % 97 + (rows // 24 + columns // 40) % 2 * 60
    image += random.integers(0, 12, image.shape) * (columns > width // 3)
    bands = slice(9 * height // 10, None), slice(width // 4)
    image[bands] = 30 + rows[bands] // 9 * 3
    image[:, -3:] = 255
    return image.astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "values"),
    [
        (512, 512, [43.15, 22.46, 2.41, 0.0, 0.0, 4.35, 0.65, 1.62, 0.039, 0.004, 2.475, 3.0]),
        (512, 700, [42.89, 22.38, 2.39, 0.0, 0.0, 3.03, -0.78, 1.23, 0.041, 0.003, 2.785, 3.0]),
        (256, 256, [42.94, 23.93, 2.38, 0.0, 0.0, 4.33, 3.15, 3.7, 0.036, 0.008, 3.012, 3.0]),
        (200, 90, [46.95, 24.1, 3.23, 0.0, 0.0, 2.49, 3.0, 3.38, 0.039, 0.022, 1.781, 3.0]),
        (33, 47, [53.76, 14.83, 0.0, 0.0, 0.0, 0.0, -4.18, 1.87, 0.077, 0.043, 0.0, 3.0]),
        (16, 16, [74.08, 22.36, 1.55, 0.0, 0.0, 0.0, -2.88, 5.69, 0.0, 0.133, 0.0, 3.0]),
    ],
)
def test_the_values_of_given_pixels_never_change(height, width, values):
    """They are stored with every crop, and thresholds refer to them: a faster way must give the same."""
    assert list(measure(made(height, width), 3, 5).values()) == values
