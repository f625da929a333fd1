"""Low pictures: by name, of the right size, antialiased."""

import numpy as np
import pytest
from PIL import Image

from data.errors import UserError
from sr.degrade import DEGRADATIONS, degrade


def test_pillow_bicubic_is_pillows():
    high = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    expected = np.asarray(Image.fromarray(high).resize((12, 8), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(degrade(high, 3, "pillow-bicubic"), expected)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_smooths_before_it_samples(name):
    high = np.zeros((32, 32, 3), np.uint8)
    high[:, ::2] = 255  # stripes that a reduction without antialiasing would turn black or white
    low = degrade(high, 2, name)
    assert low.shape == (16, 16, 3)
    assert low.dtype == np.uint8
    assert abs(int(low[8, 8, 0]) - 127) <= 2


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_keeps_flat_colour(name):
    high = np.full((24, 24, 3), (0, 117, 255), np.uint8)
    np.testing.assert_array_equal(degrade(high, 4, name), high[:6, :6])


def test_unknown_names_and_odd_sizes_are_refused_in_words():
    high = np.zeros((9, 8, 3), np.uint8)
    with pytest.raises(UserError, match="pillow-bicubic"):
        degrade(high[:8], 2, "bicubik")
    with pytest.raises(UserError, match="9x8"):
        degrade(high, 2, "pillow-bicubic")
