import cv2
import numpy as np
import pytest
from images import textured

from pipeline.quality.flat_runs import measure_flat_runs
from pipeline.quality_metrics import rgb_to_luma

LUMA = rgb_to_luma(textured(3, 512, 512))


def draw(paper: int, ink: int) -> np.ndarray:
    page = np.full((512, 512), paper, np.uint8)
    for line in range(20, 512, 24):
        cv2.putText(page, "The quick brown fox jumps over it", (8, line), 0, 0.6, ink, 1, cv2.LINE_AA)
    return page


def test_a_photograph_has_next_to_nothing_of_it():
    equal, repeated, banding = measure_flat_runs(LUMA)
    assert equal < 0.2 and repeated < 0.05 and banding < 5


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (30, 220)])
def test_text_is_flat_between_edges(paper, ink):
    assert measure_flat_runs(draw(paper, ink))[0] > 0.4


def test_a_plain_sky_is_not_drawn():
    sky = np.broadcast_to(np.linspace(90, 160, 512).astype(np.uint8)[:, None], (512, 512))
    assert measure_flat_runs(np.ascontiguousarray(sky))[0] == 0


@pytest.mark.parametrize("px", [2, 3, 4, 8])
def test_a_mosaic_repeats_its_lines(px):
    small = cv2.resize(LUMA, (512 // px, 512 // px), interpolation=cv2.INTER_AREA)
    mosaic = np.repeat(np.repeat(small, px, axis=0), px, axis=1)
    assert measure_flat_runs(mosaic)[1] == pytest.approx((px - 1) / px, abs=0.03)


def test_lines_repeated_in_one_direction_count():
    doubled = np.repeat(LUMA[:256], 2, axis=0)
    assert measure_flat_runs(doubled)[1] == pytest.approx(0.5, abs=0.02)
    assert measure_flat_runs(np.ascontiguousarray(doubled.T))[1] == pytest.approx(0.5, abs=0.02)


def test_steps_of_a_gradient_are_counted_in_1000_pixels():
    ramp = np.broadcast_to(np.repeat(np.arange(64, dtype=np.uint8) * 4, 8), (512, 512))
    # A step of 4 levels at every 8th pixel.
    assert measure_flat_runs(np.ascontiguousarray(ramp))[2] == pytest.approx(125, abs=2)
    # Steps of one level are those of 8 bits, and steps of 20 are edges.
    fine = np.broadcast_to(np.repeat(np.arange(64, dtype=np.uint8), 8), (512, 512))
    coarse = np.broadcast_to(np.repeat(np.arange(8, dtype=np.uint8) * 20, 64), (512, 512))
    for other in (fine, coarse):
        assert measure_flat_runs(np.ascontiguousarray(other))[2] == 0
