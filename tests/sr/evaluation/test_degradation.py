"""Degradations: by name, of the right size, antialiased."""

import numpy as np
import pytest
from images import textured
from PIL import Image
from scipy.ndimage import gaussian_filter

from data.errors import UserError
from sr.evaluation.degradation import DEGRADATIONS, degrade

SMOOTHING = sorted(set(DEGRADATIONS) - {"catid-gaussian"})


def test_pillow_bicubic_equals_pillow():
    hr_image = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    expected = np.asarray(Image.fromarray(hr_image).resize((12, 8), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(degrade(hr_image, 3, "pillow-bicubic"), expected)


@pytest.mark.parametrize("name", SMOOTHING)
def test_every_degradation_smooths_before_it_samples(name):
    hr_image = np.zeros((32, 32, 3), np.uint8)
    hr_image[:, ::2] = 255  # stripes that would become black or white without antialiasing
    lr_image = degrade(hr_image, 2, name)
    assert lr_image.shape == (16, 16, 3)
    assert lr_image.dtype == np.uint8
    assert abs(int(lr_image[8, 8, 0]) - 127) <= 2


@pytest.mark.parametrize("name", SMOOTHING)
def test_every_degradation_keeps_flat_color(name):
    hr_image = np.full((24, 24, 3), (0, 117, 255), np.uint8)
    np.testing.assert_array_equal(degrade(hr_image, 4, name), hr_image[:6, :6])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_catid_gaussian_equals_scipys_gaussian_over_all_three_axes(scale):
    hr_image = textured(3, 12 * scale, 20 * scale)
    expected = gaussian_filter(hr_image, sigma=scale / 6)[::scale, ::scale]
    np.testing.assert_array_equal(degrade(hr_image, scale, "catid-gaussian"), expected)


def test_bicubic_degradations_differ_by_at_most_one_level():
    hr_image = textured(4, 64, 96)
    lr_images = {name: degrade(hr_image, 2, name).astype(int) for name in SMOOTHING}
    for name in ("pillow-bicubic", "selfexsr-bicubic"):
        difference = np.abs(lr_images[name] - lr_images["matlab-bicubic"])
        assert np.count_nonzero(difference) > 0 and difference[4:-4, 4:-4].max() == 1


def test_unknown_names_and_sizes_that_are_not_multiples_raise():
    hr_image = np.zeros((9, 8, 3), np.uint8)
    with pytest.raises(UserError, match="pillow-bicubic"):
        degrade(hr_image[:8], 2, "bicubik")
    with pytest.raises(UserError, match="9x8"):
        degrade(hr_image, 2, "pillow-bicubic")
