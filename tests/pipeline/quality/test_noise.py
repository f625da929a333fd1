import cv2
import numpy as np
import pytest
from images import textured

from pipeline.downscale import downscale_by_two
from pipeline.quality.noise import measure_noise, measure_quietest
from pipeline.quality_metrics import rgb_to_luma

LUMA = rgb_to_luma(textured(3, 512, 512))
SMOOTH = cv2.GaussianBlur(LUMA, (0, 0), 6)


def add_noise(luma: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, luma.shape)
    return np.clip(luma + noise, 0, 255).round().astype(np.uint8)


def measure(luma: np.ndarray) -> float:
    return measure_noise(luma, downscale_by_two(luma))


@pytest.mark.parametrize("sigma", [2, 5, 10, 20])
def test_noise_is_measured_in_levels(sigma):
    assert measure(SMOOTH) < 0.6
    assert measure(add_noise(SMOOTH, sigma)) == pytest.approx(sigma, rel=0.2)


def test_texture_with_quiet_places_is_not_noise():
    busy = add_noise(SMOOTH, 30)
    busy[:128] = SMOOTH[:128]
    assert measure(busy) < 1


@pytest.mark.parametrize("side", [16, 17, 40, 100])
def test_small_crops_have_noise_too(side):
    noisy = add_noise(np.full((side, side), 128, np.uint8), 10)
    assert measure(noisy) == pytest.approx(10, rel=0.45)


@pytest.mark.parametrize("levels", [3, 6])
def test_fine_texture_without_a_quiet_place_is_hardly_noise(levels):
    """Fibers, as of grass: each size of the image has more of them than the one before."""
    random = np.random.default_rng(1)
    texture = np.zeros((512, 512))
    for octave in range(5):
        cells = random.normal(0, levels * 1.6**octave, (512 >> octave, 512 >> octave))
        texture += cv2.resize(cells, (512, 512), interpolation=cv2.INTER_CUBIC)
    luma = np.clip(128 + cv2.GaussianBlur(texture, (0, 0), 0.5), 0, 255).round().astype(np.uint8)
    quietest = measure_quietest(luma)
    assert quietest > levels / 4 and measure(luma) < quietest / 3
    # What is added to it is found.
    assert measure(add_noise(luma, 20)) == pytest.approx(20, rel=0.1)
