import numpy as np
import pytest
from images import textured

from pipeline.quality.borders import measure_border
from pipeline.quality_metrics import rgb_to_luma

LUMA = np.maximum(rgb_to_luma(textured(3, 256, 256)), 40)


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("level", [3, 255])
def test_a_border_is_measured_to_the_pixel_at_any_side(side, level):
    barred = np.minimum(LUMA, 200)
    barred[:11] = level
    assert measure_border(np.ascontiguousarray(np.rot90(barred, side))) == 11
    assert measure_border(LUMA) == 0


def test_a_border_may_be_compressed_and_blend_into_the_image():
    barred = LUMA.copy()
    barred[:20] = np.random.default_rng(0).integers(14, 19, (20, 256))
    barred[20] = 20
    assert measure_border(barred) in (20, 21)


@pytest.mark.parametrize("level", [0, 10])
def test_a_dark_sky_is_no_border(level):
    """The scene begins with a few roofs and lamps, not with a straight edge."""
    night = np.full((256, 256), level, np.uint8)
    for column in range(0, 256, 36):
        night[120 - column // 4 :, column : column + 28] = LUMA[120 - column // 4 :, column : column + 28]
    assert measure_border(night) == 0


def test_an_image_of_one_color_is_all_border():
    assert measure_border(np.full((64, 48), 9, np.uint8)) == 64
