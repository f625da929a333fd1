import numpy as np
from pictures import textured

from pipeline.raster import halve, shrink


def means(picture: np.ndarray, factor: int) -> np.ndarray:
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    whole = picture[: height * factor, : width * factor].astype(float)
    return whole.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


def test_shrinking_takes_the_mean_of_whole_cells():
    picture = textured(5, 37, 53)
    for factor in (2, 3, 5):
        assert np.abs(shrink(picture, factor) - means(picture, factor)).max() <= 0.5
    assert shrink(picture, 1) is picture


def test_each_halving_adds_half_a_level_of_rounding_at_most():
    picture = textured(5, 67, 89)
    for factor, roundings in ((4, 2), (8, 3), (12, 3)):
        assert np.abs(shrink(picture, factor) - means(picture, factor)).max() <= roundings / 2
    assert np.array_equal(shrink(picture, 4), halve(halve(picture)))
