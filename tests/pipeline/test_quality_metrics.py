import cv2
import numpy as np
import pytest
from images import textured

from pipeline.downscale import downscale_by_two
from pipeline.quality_metrics import METRICS, measure_quality, rgb_to_luma

LUMA = rgb_to_luma(textured(3, 256, 256))
SMOOTH = cv2.GaussianBlur(LUMA, (0, 0), 6)


def measure(luma: np.ndarray) -> dict[str, float]:
    return measure_quality(luma, downscale_by_two(luma))


def compress(luma: np.ndarray, quality: int) -> np.ndarray:
    content = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


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


@pytest.mark.parametrize("sigma", [2, 5, 10])
def test_noise_is_measured_in_levels(sigma):
    assert measure(SMOOTH)["noise"] < 0.6
    assert measure(add_noise(SMOOTH, sigma))["noise"] == pytest.approx(sigma, rel=0.25)


def test_blockiness_grows_with_compression():
    measured = [measure(compress(LUMA, quality))["blockiness"] for quality in (90, 50, 20, 5)]
    assert measured == sorted(measured) and measured[-1] > 5 * measured[0]
    assert measure(LUMA)["blockiness"] < 0.06


def test_the_grid_of_blocks_is_found_wherever_it_lies():
    compressed = compress(LUMA, 10)
    whole = measure(compressed)["blockiness"]
    for top, left in ((3, 5), (7, 1)):
        assert measure(compressed[top:, left:])["blockiness"] == pytest.approx(whole, rel=0.15)


def test_exposure_is_the_fraction_of_near_black_and_near_white_pixels():
    half_black = np.full((64, 64), 128, np.uint8)
    half_black[:32] = 5
    assert measure(half_black)["underexposed"] == 0.5 and measure(half_black)["overexposed"] == 0.0
    assert measure(255 - half_black)["overexposed"] == 0.5


@pytest.mark.parametrize("side", range(4))
def test_a_border_is_measured_to_the_pixel_at_any_side(side):
    barred = np.maximum(LUMA, 40)
    barred[:11] = 3
    assert measure(np.ascontiguousarray(np.rot90(barred, side)))["border_px"] == 11
    assert measure(np.maximum(LUMA, 40))["border_px"] == 0


def test_the_smallest_and_odd_sizes_have_all_metrics():
    for height, width in ((16, 16), (17, 33), (100, 16)):
        assert tuple(measure(LUMA[:height, :width])) == METRICS


def test_metrics_have_a_fixed_number_of_decimals():
    """So that equal pixels give equal text in the records."""
    decimals = {"contrast": 2, "sharpness": 2, "noise": 2, "border_px": 0}
    for name, value in measure(add_noise(LUMA, 3)).items():
        assert value == round(value, decimals.get(name, 3)) and isinstance(value, float)
