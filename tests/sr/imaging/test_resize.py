"""MATLAB's imresize: its weights, edges and rounding, and real files that were made with it."""

import numpy as np
import pytest
from images import textured

from data.imaging.decode import decode
from sr.evaluation.degradation import degrade
from sr.imaging.resize import imresize

HALVING = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
"""The cubic kernel of a = -0.5, stretched by two, at -3.5, -2.5 … 3.5 px."""


def test_halving_uses_the_weights_of_the_stretched_cubic_kernel():
    taps = [imresize(np.eye(16)[row][:, None], 8, 1, rounding="none")[3, 0] for row in range(3, 11)]
    np.testing.assert_allclose(taps, HALVING, atol=1e-15)


@pytest.mark.parametrize(
    ("edges", "around"),
    [("mirror", [30, 20, 10, 10, 20, 30, 40, 50]), ("clamp", [10, 10, 10, 10, 20, 30, 40, 50])],
)
def test_edges_are_mirrored_or_clamped(edges, around):
    column = np.arange(10.0, 170.0, 10.0)[:, None]
    made = imresize(column, 8, 1, edges=edges, rounding="none")[0, 0]
    assert made == pytest.approx(HALVING @ around, abs=1e-12)


def test_rounding_after_each_axis_differs_from_rounding_once():
    image = textured(1, 40, 60)
    exact = imresize(image, 20, 30, rounding="none")
    once, passes = (imresize(image, 20, 30, rounding=name) for name in ("once", "passes"))
    assert exact.dtype == np.float64 and once.dtype == passes.dtype == np.uint8
    np.testing.assert_array_equal(once, np.floor(exact + 0.5).clip(0, 255))
    assert 0 < np.mean(once != passes) < 0.5 and np.abs(once.astype(int) - passes).max() == 1


def test_overshoot_is_clamped_and_halves_round_up():
    step = np.repeat([[0.0, 255.0]], 8, axis=1).reshape(16, 1)
    assert imresize(step, 32, 1, rounding="none").min() < -5
    assert imresize(step, 32, 1).min() == 0 and imresize(step, 32, 1).max() == 255
    assert imresize(np.full((4, 4), 0.5), 2, 2)[0, 0] == 1


def test_lanczos_has_three_lobes():
    impulse = np.zeros((21, 1))
    impulse[10] = 1
    made = imresize(impulse, 63, 1, "lanczos3", rounding="none")[:, 0]
    assert made[31] == pytest.approx(1.0)
    assert (
        np.count_nonzero(np.abs(made) > 1e-12) == 13
    )  # of 17 positions within three pixels, 4 are whole pixels away


def test_unknown_names_and_empty_results_raise():
    with pytest.raises(ValueError, match="'linear'"):
        imresize(np.zeros((4, 4)), 2, 2, "linear")
    with pytest.raises(ValueError, match="'wrap'"):
        imresize(np.zeros((4, 4)), 2, 2, edges="wrap")
    with pytest.raises(ValueError, match="1 px"):
        imresize(np.zeros((4, 4)), 0, 2)


@pytest.mark.parametrize("benchmark", ["Set5", "Set14"])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_files_of_selfexsr_are_reproduced_bit_for_bit(shared, benchmark, scale):
    root = shared / "images" / benchmark / f"x{scale}"
    paths = sorted((root / "HR").iterdir())
    assert len(paths) == {"Set5": 5, "Set14": 14}[benchmark]
    for path in paths:
        hr_image, lr_image = (decode((root / kind / path.name).read_bytes()) for kind in ("HR", "LR"))
        assert np.array_equal(degrade(hr_image, scale, "selfexsr-bicubic"), lr_image), path.name
