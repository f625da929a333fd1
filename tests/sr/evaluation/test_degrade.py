"""Low pictures: by name, of the right size, antialiased."""

import numpy as np
import pytest
from pictures import textured
from PIL import Image
from scipy.ndimage import gaussian_filter

from data.errors import UserError
from sr.evaluation.degrade import DEGRADATIONS, degrade

SMOOTHING = sorted(set(DEGRADATIONS) - {"forebear-gaussian"})


def test_pillow_bicubic_is_pillows():
    high = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    expected = np.asarray(Image.fromarray(high).resize((12, 8), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(degrade(high, 3, "pillow-bicubic"), expected)


@pytest.mark.parametrize("name", SMOOTHING)
def test_every_degradation_smooths_before_it_samples(name):
    high = np.zeros((32, 32, 3), np.uint8)
    high[:, ::2] = 255  # stripes that a reduction without antialiasing would turn black or white
    low = degrade(high, 2, name)
    assert low.shape == (16, 16, 3)
    assert low.dtype == np.uint8
    assert abs(int(low[8, 8, 0]) - 127) <= 2


@pytest.mark.parametrize("name", SMOOTHING)
def test_every_degradation_keeps_flat_colour(name):
    high = np.full((24, 24, 3), (0, 117, 255), np.uint8)
    np.testing.assert_array_equal(degrade(high, 4, name), high[:6, :6])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_forebears_gaussian_is_scipys_over_all_three_axes(scale):
    high = textured(3, 12 * scale, 20 * scale)
    expected = gaussian_filter(high, sigma=scale / 6)[::scale, ::scale]
    np.testing.assert_array_equal(degrade(high, scale, "forebear-gaussian"), expected)


def test_recipes_differ_by_a_level_here_and_there():
    high = textured(4, 64, 96)
    low = {name: degrade(high, 2, name).astype(int) for name in SMOOTHING}
    for name in ("pillow-bicubic", "selfexsr-bicubic"):
        difference = np.abs(low[name] - low["matlab-bicubic"])
        assert np.count_nonzero(difference) > 0 and difference[4:-4, 4:-4].max() == 1


def test_unknown_names_and_odd_sizes_are_refused_in_words():
    high = np.zeros((9, 8, 3), np.uint8)
    with pytest.raises(UserError, match="pillow-bicubic"):
        degrade(high[:8], 2, "bicubik")
    with pytest.raises(UserError, match="9x8"):
        degrade(high, 2, "pillow-bicubic")
