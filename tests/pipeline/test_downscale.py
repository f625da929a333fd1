import numpy as np
from images import textured

from pipeline.downscale import downscale, downscale_by_two


def means(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor].astype(float)
    return whole.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


def test_downscaling_takes_the_mean_of_whole_cells():
    image = textured(5, 37, 53)
    for factor in (2, 3, 5):
        assert np.abs(downscale(image, factor) - means(image, factor)).max() <= 0.5
    assert downscale(image, 1) is image


def test_each_halving_adds_half_a_level_of_rounding_at_most():
    image = textured(5, 67, 89)
    for factor, roundings in ((4, 2), (8, 3), (12, 3)):
        assert np.abs(downscale(image, factor) - means(image, factor)).max() <= roundings / 2
    assert np.array_equal(downscale(image, 4), downscale_by_two(downscale_by_two(image)))
