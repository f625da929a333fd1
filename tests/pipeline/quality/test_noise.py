import cv2
import numpy as np
import pytest
from images import textured

from pipeline.quality.noise import measure_noise
from pipeline.quality_metrics import rgb_to_luma

LUMA = rgb_to_luma(textured(3, 512, 512))
SMOOTH = cv2.GaussianBlur(LUMA, (0, 0), 6)


def add_noise(luma: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, luma.shape)
    return np.clip(luma + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("sigma", [2, 5, 10, 20])
def test_noise_is_measured_in_levels(sigma):
    assert measure_noise(SMOOTH) < 0.6
    assert measure_noise(add_noise(SMOOTH, sigma)) == pytest.approx(sigma, rel=0.2)


def test_texture_with_quiet_places_is_not_noise():
    busy = add_noise(SMOOTH, 30)
    busy[:128] = SMOOTH[:128]
    assert measure_noise(busy) < 1


@pytest.mark.parametrize("side", [16, 17, 40, 100])
def test_small_crops_have_noise_too(side):
    noisy = add_noise(np.full((side, side), 128, np.uint8), 10)
    assert measure_noise(noisy) == pytest.approx(10, rel=0.45)
