import cv2
import numpy as np
import pytest
from images import textured

from pipeline.quality.line_bands import measure_bands
from pipeline.quality_metrics import rgb_to_luma

SHARP = rgb_to_luma(textured(5, 512, 512))


def upscale(luma: np.ndarray, factor: int, interpolation: int) -> np.ndarray:
    part = luma[: 512 // factor, : 512 // factor]
    return cv2.resize(part, (512, 512), interpolation=interpolation)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4])
def test_an_upscaled_image_has_no_high_band(factor, interpolation):
    assert measure_bands(SHARP)[0] > -7
    assert measure_bands(upscale(SHARP, factor, interpolation))[0] < -11


def test_a_sharp_part_is_enough():
    """A portrait before a blurred background is a good crop."""
    portrait = cv2.GaussianBlur(SHARP, (0, 0), 4)
    portrait[:, 128:384] = SHARP[:, 128:384]
    assert measure_bands(portrait)[0] > -9


def test_white_noise_is_equal_in_all_bands():
    noise = np.random.default_rng(0).normal(128, 20, (512, 512)).clip(0, 255).astype(np.uint8)
    high, comb = measure_bands(noise)
    assert abs(high) < 4 and abs(comb) < 1


def test_flat_images_have_no_detail_and_no_comb():
    for level in (0, 77, 255):
        high, comb = measure_bands(np.full((64, 64), level, np.uint8))
        assert high <= -20 and comb == 0


@pytest.mark.parametrize("motion_px", [2, 4, 8])
def test_interlaced_fields_are_a_comb_along_columns_only(motion_px):
    woven = SHARP.copy()
    woven[1::2] = np.roll(SHARP, motion_px, axis=1)[1::2]
    assert abs(measure_bands(SHARP)[1]) < 2
    assert measure_bands(woven)[1] > 2
    assert measure_bands(np.ascontiguousarray(woven.T))[1] < -2


def test_the_largest_amplitude_at_the_nyquist_frequency_is_exact():
    stripes = np.zeros((512, 512), np.uint8)
    stripes[::2] = 255
    high, comb = measure_bands(stripes)
    # 127.5 squared, and nothing elsewhere but what is added to both powers.
    assert comb == pytest.approx(10 * np.log10((127.5**2 + 0.3 * 1) / 0.3), abs=12) and high < 0
