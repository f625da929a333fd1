import cv2
import numpy as np
import pytest
from images import textured

from pipeline.downscale import halve
from pipeline.quality_metrics import luma_of
from pipeline.quality_metrics import scores as scores_of

LUMA = luma_of(textured(3, 256, 256))
SMOOTH = cv2.GaussianBlur(LUMA, (0, 0), 6)


def scores(luma: np.ndarray) -> dict[str, int]:
    return scores_of(luma, halve(luma))


def jpeg(luma: np.ndarray, quality: int) -> np.ndarray:
    content = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


def noisy(luma: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, luma.shape)
    return np.clip(luma + noise, 0, 255).round().astype(np.uint8)


def test_contrast_is_the_standard_deviation_of_luma():
    halves = np.zeros((64, 64), np.uint8)
    halves[:, 32:] = 100
    assert scores(halves)["contrast"] == 5000


def test_detail_falls_with_blur():
    measured = [scores(cv2.GaussianBlur(LUMA, (0, 0), sigma))["detail"] for sigma in (0.5, 1, 2, 4)]
    assert measured == sorted(measured, reverse=True)
    assert scores(np.full((64, 64), 77, np.uint8))["detail"] == 0


@pytest.mark.parametrize("sigma", [2, 5, 10])
def test_noise_is_measured_in_levels(sigma):
    assert scores(SMOOTH)["noise"] < 60
    assert scores(noisy(SMOOTH, sigma))["noise"] == pytest.approx(100 * sigma, rel=0.25)


def test_blocks_stand_out_the_more_the_harder_the_compression():
    measured = [scores(jpeg(LUMA, quality))["blockiness"] for quality in (90, 50, 20, 5)]
    assert measured == sorted(measured) and measured[-1] > 5 * measured[0]
    assert scores(LUMA)["blockiness"] < 60


def test_the_grid_of_blocks_is_found_wherever_it_lies():
    pressed = jpeg(LUMA, 10)
    whole = scores(pressed)["blockiness"]
    for top, left in ((3, 5), (7, 1)):
        assert scores(pressed[top:, left:])["blockiness"] == pytest.approx(whole, rel=0.15)


def test_exposure_is_the_share_of_pixels_that_show_nothing():
    half_black = np.full((64, 64), 128, np.uint8)
    half_black[:32] = 5
    assert scores(half_black)["dark"] == 500 and scores(half_black)["bright"] == 0
    assert scores(255 - half_black)["bright"] == 500


@pytest.mark.parametrize("side", range(4))
def test_a_border_is_measured_to_the_pixel_at_any_side(side):
    barred = np.maximum(LUMA, 40)
    barred[:11] = 3
    assert scores(np.ascontiguousarray(np.rot90(barred, side)))["border"] == 11
    assert scores(np.maximum(LUMA, 40))["border"] == 0


def test_the_smallest_and_odd_sizes_have_scores():
    for height, width in ((16, 16), (17, 33), (100, 16)):
        assert set(scores(LUMA[:height, :width])) == set(scores(LUMA))
