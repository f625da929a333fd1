"""Luma in limited and full range."""

import numpy as np

from sr.imaging.video_range import to_full_range, to_limited_range


def test_black_and_white_have_their_levels():
    np.testing.assert_allclose(to_limited_range(np.array([0.0, 255.0])), [16.0, 235.0])


def test_full_range_inverts_limited_range():
    levels = np.linspace(0.0, 255.0, 52)
    np.testing.assert_allclose(to_full_range(to_limited_range(levels)), levels, atol=1e-12)
