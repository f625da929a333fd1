"""Interpolation filters are those of Pillow, and take single planes and more than 8 bits."""

import numpy as np
import pytest
from images import textured
from PIL import Image

from sr.runtime.load import load_upscaler


@pytest.mark.parametrize(
    ("name", "resampling"), [("bicubic", Image.Resampling.BICUBIC), ("lanczos", Image.Resampling.LANCZOS)]
)
def test_filters_equal_pillow(name, resampling):
    lr_image = textured(1, 11, 17)
    upscaler = load_upscaler(name, scale=3)
    assert (upscaler.name, upscaler.scale, upscaler.sha256) == (name, 3, None)
    np.testing.assert_array_equal(
        upscaler(lr_image), np.asarray(Image.fromarray(lr_image).resize((51, 33), resampling))
    )


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_filters_take_fractional_levels_and_single_planes(name):
    lr_image = textured(9, 15, 21) // 2 + 60  # Pillow clamps bytes between its passes
    upscaler = load_upscaler(name, scale=3)
    exact = upscaler.upscale_levels(lr_image.astype(np.float32))
    assert np.abs(exact - upscaler(lr_image).astype(np.float32)).max() < 1.1
    assert exact.min() >= 0 and exact.max() <= 255
    plane = lr_image[:, :, 1:2]
    np.testing.assert_array_equal(upscaler(plane), upscaler(lr_image)[:, :, 1:2])
    np.testing.assert_array_equal(upscaler.upscale_levels(plane.astype(np.float32)), exact[:, :, 1:2])
