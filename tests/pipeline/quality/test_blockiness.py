import cv2
import numpy as np
import pytest
from images import textured

from pipeline.quality.blockiness import measure_blockiness
from pipeline.quality_metrics import rgb_to_luma

LUMA = rgb_to_luma(textured(3, 512, 512))


def compress(luma: np.ndarray, quality: int) -> np.ndarray:
    content = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


def test_it_grows_with_compression():
    measured = [measure_blockiness(compress(LUMA, quality), 0, 0) for quality in (95, 75, 50, 20)]
    assert measured == sorted(measured) and measured[1] > 10 and measured[2] > 30
    assert measure_blockiness(LUMA, 0, 0) < 4


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 5), (12, 1), (4, 4)])
def test_a_crop_is_measured_on_the_grid_of_its_image(top, left):
    compressed = compress(LUMA, 50)
    whole = measure_blockiness(compressed, 0, 0)
    crop = np.ascontiguousarray(compressed[top : top + 480, left : left + 480])
    assert measure_blockiness(crop, top, left) == pytest.approx(whole, rel=0.2)
    # Off the grid by 2 pixels, it is not seen.
    assert measure_blockiness(crop, top + 2, left + 2) < whole / 2


@pytest.mark.parametrize("side", [96, 128, 256, 512])
def test_a_small_clean_crop_is_no_blockier_than_a_large_one(side):
    """Few blocks differ by chance; that is subtracted."""
    noise = np.random.default_rng(side).normal(128, 30, (side, side)).clip(0, 255).astype(np.uint8)
    assert measure_blockiness(noise, 0, 0) < 6


def test_smooth_images_are_not_blocky():
    """Their high coefficients are nothing but rounding, on each grid."""
    assert measure_blockiness(cv2.GaussianBlur(LUMA, (0, 0), 12), 0, 0) < 30
    assert measure_blockiness(np.full((128, 128), 200, np.uint8), 0, 0) == 0.0


def test_extreme_pixels_stay_in_16_bits():
    """A checkerboard of black and white blocks has the largest coefficients and differences: it is as any other."""
    rows, columns = np.mgrid[:256, :256] // 8 % 2
    board = np.where(rows ^ columns, 255, 0).astype(np.uint8)
    constant = measure_blockiness(board, 0, 0)
    assert 0 < constant < 1e6
    assert measure_blockiness(255 - board, 0, 0) == pytest.approx(constant, rel=0.02)


def test_its_variations_are_those_of_the_true_cosine_transform():
    """The transform is an approximation in whole numbers; each coefficient has a scale of its own, which cancels."""
    places, frequencies = np.mgrid[:8, :8]
    basis = np.cos((2 * places + 1) * frequencies * np.pi / 16)

    def variations(top: int) -> np.ndarray:
        blocks = LUMA[top : top + 504, top : top + 504].astype(float).reshape(63, 8, 63, 8)
        coefficients = np.einsum("iu,hiwj,jv->uvhw", basis, blocks, basis, optimize=True)
        inner = 2 * coefficients[:, :, 1:-1, 1:-1]
        across = coefficients[:, :, 1:-1, :-2] + coefficients[:, :, 1:-1, 2:] - inner
        down = coefficients[:, :, :-2, 1:-1] + coefficients[:, :, 2:, 1:-1] - inner
        return np.hypot(across, down).mean(axis=(2, 3))

    expected = np.abs(variations(4) / variations(0) - 1).sum()
    assert measure_blockiness(LUMA, 0, 0) == pytest.approx(expected, abs=3)
