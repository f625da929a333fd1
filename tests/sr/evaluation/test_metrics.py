"""The metrics equal scikit-image's, and refuse what cannot be compared."""

import numpy as np
import pytest
import skimage.data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sr.evaluation import metrics


def _random_pair(channels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    shape = (37, 52, channels) if channels else (37, 52)
    return rng.uniform(0, 255, shape), rng.uniform(0, 255, shape)


def _natural_pair(channels: int) -> tuple[np.ndarray, np.ndarray]:
    first = skimage.data.chelsea()[40:201, 100:261]
    noise = np.random.default_rng(8).normal(0, 6, first.shape)
    second = np.clip(first + noise, 0, 255).round().astype(np.uint8)
    return (first, second) if channels else (metrics.luma(first), metrics.luma(second))


@pytest.mark.parametrize("pair", [_random_pair, _natural_pair])
@pytest.mark.parametrize("channels", [0, 3])
def test_psnr_and_ssim_equal_scikit_image(pair, channels):
    first, second = pair(channels)
    expected = structural_similarity(
        first,
        second,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if channels else None,
    )
    assert metrics.ssim(first, second) == pytest.approx(expected, abs=1e-9)
    assert metrics.psnr(first, second) == pytest.approx(
        peak_signal_noise_ratio(first.astype(float), second.astype(float), data_range=255), abs=1e-9
    )


@pytest.mark.parametrize(
    ("height", "width", "band_samples"),
    [(11, 11, 1 << 16), (11, 90, 1), (90, 11, 1), (54, 40, 1), (55, 40, 1), (150, 40, 1), (150, 40, 40 * 65)],
)
def test_ssim_does_not_depend_on_the_bands_that_it_is_computed_in(monkeypatch, height, width, band_samples):
    monkeypatch.setattr(metrics, "_BAND_SAMPLES", band_samples)
    first = skimage.data.chelsea()[20 : 20 + height, 30 : 30 + width, 1] / 255.0
    second = np.clip(first + np.random.default_rng(9).normal(0, 0.02, first.shape), 0, 1)
    expected = structural_similarity(
        first, second, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(first, second, 1.0) == pytest.approx(expected, abs=1e-9)
    channels = np.dstack([first, second, first, second, first]), np.dstack([second, first] * 2 + [first])
    assert metrics.ssim(*channels, 1.0) == pytest.approx((4 * expected + 1) / 5, abs=1e-9)
    assert metrics.ssim(first[..., None], second[..., None], 1.0) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_flat_and_of_opposite_images_equals_the_formula():
    black, white = np.zeros((30, 40), np.uint8), np.full((30, 40), 255, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(white, white) == 1.0
    assert metrics.ssim(black, white) == pytest.approx(c1 / (255**2 + c1), abs=1e-9)
    noise = np.random.default_rng(10).integers(0, 256, (30, 40)).astype(np.uint8)
    assert metrics.ssim(noise, noise) == 1.0 and metrics.ssim(noise, 255 - noise) < -0.5


def test_luma_has_limited_range_and_is_not_rounded():
    corners = np.array([[[0, 0, 0], [255, 255, 255], [1, 0, 0]]], np.uint8)
    np.testing.assert_allclose(metrics.luma(corners), [[16.0, 235.0, 16.0 + 65.481 / 255]], atol=1e-12)


def test_equal_images_have_infinite_psnr_and_ssim_one():
    image = skimage.data.chelsea()[:32, :32]
    assert metrics.psnr(image, image) == float("inf")
    assert metrics.ssim(image, image) == pytest.approx(1.0, abs=1e-12)


def test_uint8_images_do_not_wrap_around():
    dark, light = np.zeros((12, 12, 3), np.uint8), np.full((12, 12, 3), 255, np.uint8)
    assert metrics.psnr(dark, light) == metrics.psnr(light, dark) == 0.0


def test_border_is_cropped_from_every_side():
    image = np.arange(6 * 8).reshape(6, 8)
    np.testing.assert_array_equal(metrics.crop_border(image, 2), image[2:4, 2:6])
    assert metrics.crop_border(image, 0).shape == (6, 8)
    with pytest.raises(ValueError, match="6x8"):
        metrics.crop_border(image, 3)


def test_images_that_cannot_be_compared_raise():
    with pytest.raises(ValueError, match="one shape"):
        metrics.psnr(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="11x11"):
        metrics.ssim(np.zeros((10, 40)), np.zeros((10, 40)))
    with pytest.raises(ValueError, match="RGB"):
        metrics.luma(np.zeros((4, 4), np.uint8))
